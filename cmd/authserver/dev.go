package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"authserver/internal/audit"
	"authserver/internal/oauth"
	"authserver/internal/store"
	"authserver/internal/store/pglocal"

	"github.com/lmittmann/tint"
)

const (
	defaultIssuer     = "http://localhost:8080"
	defaultManagement = "127.0.0.1:9090"

	encryptionKeyFile     = "key-encryption.key"
	registrarKeyFile      = "registrar.jwk.json"
	resourceServerKeyFile = "resource-server.jwk.json"
	issuerKeyFile         = "issuer.jwk.json"
)

// devCmd runs everything for a laptop.
type devCmd struct {
	Settings  settings `embed:"" group:"settings"`
	State     string   `type:"path" placeholder:"DIR" help:"Where the state is kept. Unset: a folder for each issuer."`
	TLS       bool     `name:"tls" help:"Serve https and mutual TLS, with certificates of an authority that is made for this."`
	Ephemeral bool     `help:"Throw the state away at the end."`
	Reset     bool     `help:"Throw the state of earlier runs away first."`
}

// Run starts dev and serves until it is interrupted.
func (d *devCmd) Run(ctx context.Context, out *streams, src *sources) (err error) {
	d.fillIn()
	c, err := d.configure(src.problems)
	if err != nil {
		return err
	}
	l, err := d.listen(c)
	if err != nil {
		return exitError{exitUsage, err.Error()}
	}
	defer l.close()
	// Only a dev that can start touches the state: another may be running on it.
	dir, cleanUp, err := d.openState()
	if err != nil {
		return exitError{exitUsage, err.Error()}
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	if c.encryptionKeys == nil {
		if c.encryptionKeys, err = devEncryptionKeys(dir); err != nil {
			return exitError{exitUsage, err.Error()}
		}
	}
	if d.TLS {
		useDevCertificates(&c, dir)
		if err := openDevCertificates(dir, time.Now(), c.issuer, c.mtls.url); err != nil {
			return exitError{exitUsage, err.Error()}
		}
	}
	c.managementListen = l.management.Addr().String()
	database := "at the configured URL"
	if c.databaseURL == "" {
		pg, err := d.startPostgres(ctx, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, pg.Stop()) }()
		c.databaseURL = oauth.Secret(pg.URL("authserver"))
		database = d.describe(pg, dir)
	}
	st, err := store.Open(ctx, c.databaseURL.Reveal())
	if err != nil {
		return err
	}
	defer st.Close()
	trail, err := openAudit(c.auditLog, out.Stdout)
	if err != nil {
		return err
	}
	defer trail.Close()
	a, err := d.prepare(ctx, c, st, dir, newLog(out), trail)
	if err != nil {
		return err
	}
	d.banner(out, c, database, dir)
	return a.run(ctx, l)
}

// fillIn sets the defaults of dev. An issuer on this machine says where to listen, and the other way round.
func (d *devCmd) fillIn() {
	s := &d.Settings
	if s.Issuer == "" {
		s.Issuer = defaultIssuer
		if d.TLS {
			s.Issuer = devTLSIssuer
		}
		if _, port, err := net.SplitHostPort(s.Listen); err == nil {
			scheme := "http"
			if s.TLSCertFile != "" || d.TLS {
				scheme = "https"
			}
			s.Issuer = scheme + "://localhost:" + port
		}
	}
	if u, err := url.Parse(s.Issuer); s.Listen == "" && err == nil {
		s.Listen = "127.0.0.1:" + or(u.Port(), "8080")
	}
	d.fillInTLS()
	s.Registration = or(s.Registration, "open")
	s.DPoPNonce = or(s.DPoPNonce, "required")
	s.AccessTokenAlg = or(s.AccessTokenAlg, "ES256")
	s.KeyRotation = or(s.KeyRotation, "720h")
	s.AuditLog = or(s.AuditLog, "off")
	s.DrainDelay = or(s.DrainDelay, "0s")
	s.Scopes = or(s.Scopes, demoScope)
	s.RegistrationLimit = or(s.RegistrationLimit, "0")
	s.IntrospectionLimit = or(s.IntrospectionLimit, "0")
	s.PARLimit = or(s.PARLimit, "0")
	s.PARExpiresIn = or(s.PARExpiresIn, "90s")
	s.fillInConsent()
	s.LoginLimit = or(s.LoginLimit, "0")
	s.LoginAddressLimit = or(s.LoginAddressLimit, "0")
	s.fillInMTLS()
	s.fillInLogin(loginBuiltin)
	s.fillInAccounts()
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// openState makes the state folder and tells how to leave it at the end.
func (d *devCmd) openState() (dir string, cleanUp func() error, err error) {
	keep := func() error { return nil }
	if d.Ephemeral {
		dir, err = os.MkdirTemp("", "authserver-dev-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if dir = d.State; dir == "" {
		if dir, err = stateDir(d.Settings.Issuer); err != nil {
			return "", keep, err
		}
	}
	if d.Reset {
		if err := removeState(dir); err != nil {
			return "", keep, err
		}
	}
	return dir, keep, os.MkdirAll(dir, 0o711)
}

// removeState removes what dev has made in its folder, and nothing else that may lie there.
func removeState(dir string) error {
	for _, name := range []string{
		"postgres", encryptionKeyFile, registrarKeyFile, resourceServerKeyFile, issuerKeyFile, devAuthorityFile, devAuthorityKeyFile,
		devServerCertFile, devServerKeyFile, devClientCertFile, devClientKeyFile,
	} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// configure understands the settings and reports all that is wrong with them at once.
func (d *devCmd) configure(problems []string) (config, error) {
	s := d.Settings
	s.ManagementListen = or(s.ManagementListen, defaultManagement)
	required := d.TLS && s.RequireClientCertificate == "true"
	if required { // by an authority that is still to be made
		s.RequireClientCertificate = "false"
	}
	c, more := s.understand(true)
	c.mtls.required = c.mtls.required || required
	more = append(more, d.Settings.collisions()...) // a management address that nobody chose gives way
	return c, problemsError(append(append(problems, more...), d.checkTLS(c)...))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// listen opens the sockets. A management address that nobody chose gives way when it is taken, so that two dev servers
// run side by side.
func (d *devCmd) listen(c config) (l listeners, err error) {
	if l.public, err = net.Listen("tcp", c.listen); err != nil {
		return l, err
	}
	l.management, err = net.Listen("tcp", c.managementListen)
	if err != nil && d.Settings.ManagementListen == "" {
		l.management, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err == nil && c.mtls.listen != "" {
		l.mutual, err = net.Listen("tcp", c.mtls.listen)
	}
	if err != nil {
		l.close()
	}
	return l, err
}

// startPostgres runs the private PostgreSQL of the state folder.
func (d *devCmd) startPostgres(ctx context.Context, dir string) (*pglocal.Server, error) {
	o := pglocal.Options{Dir: filepath.Join(dir, "postgres")}
	if d.Ephemeral {
		o = pglocal.Options{Fast: true}
	}
	return pglocal.Start(ctx, o)
}

func (d *devCmd) describe(pg *pglocal.Server, dir string) string {
	if d.Ephemeral {
		return fmt.Sprintf("private PostgreSQL %s   (thrown away at the end)", pg.Version())
	}
	return fmt.Sprintf("private PostgreSQL %s in %s   (removed with: authserver dev --reset)", pg.Version(), dir)
}

// prepare brings the database up to date, wires the replica and adds what only dev has.
func (d *devCmd) prepare(ctx context.Context, c config, st *store.Store, dir string, log *slog.Logger, trail *audit.Log) (*app, error) {
	if _, err := st.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := st.Stamp(ctx, "dev", c.issuer, time.Now()); err != nil {
		return nil, exitError{exitUsage, err.Error()}
	}
	a, err := newApp(ctx, c, st, log, trail, time.Now)
	if err != nil {
		return nil, bootError(err)
	}
	a.addDemo()
	if err := seed(ctx, st, c, dir); err != nil {
		return nil, err
	}
	// The metadata tells of the demo issuer from the first request on.
	return a, a.server.Token.Assertions.Refresh(ctx)
}

// banner tells a person what to do next.
func (d *devCmd) banner(out *streams, c config, database, dir string) {
	fmt.Fprintf(out.Stdout, `authserver %s   DEV: loopback only, demo people, generated keys. Not for production.

  issuer      %s
  metadata    %s
  htu         %s/oauth2/token   (what DPoP proofs for the token endpoint must name)%s
  management  http://%s/readyz
  database    %s
  registrar   dev-registrar         key %s
  resources   dev-resource-server   key %s
  assertions  %s            key %s
  %s

  next, in another terminal:  go run ./cmd/authserver try%s
`, version, c.issuer, metadataURL(c.issuer), c.issuer, d.whereTLS(c, dir), c.managementListen, database,
		filepath.Join(dir, registrarKeyFile), filepath.Join(dir, resourceServerKeyFile),
		demoIssuer, filepath.Join(dir, issuerKeyFile), whoSignsIn(c), d.tryFlags(c, dir))
}

// whoSignsIn is the line about people, whom not every login knows.
func whoSignsIn(c config) string {
	switch c.login {
	case loginBuiltin:
		return "demo person " + demoUsername + " / " + demoPassword
	case loginOIDC:
		return "people      sign in at " + c.upstream.Issuer
	}
	return "people      cannot sign in: login is off"
}

// metadataURL puts the well-known part before the issuer's path (RFC 8414 §3.1).
func metadataURL(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return issuer
	}
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + u.Path
}

// tryFlags are what try needs to find this server and what lies in its state folder.
func (d *devCmd) tryFlags(c config, dir string) string {
	flags := ""
	if c.issuer != defaultIssuer {
		flags += " --issuer " + c.issuer
	}
	if usual, err := stateDir(c.issuer); err != nil || usual != dir {
		flags += fmt.Sprintf(" --state %q", dir)
	}
	switch {
	case d.TLS && c.mtls.required:
		flags += fmt.Sprintf(" --cert %q --key %q", filepath.Join(dir, devClientCertFile), filepath.Join(dir, devClientKeyFile))
	case !d.TLS && c.certFile != "":
		flags += fmt.Sprintf(" --ca-cert %q", c.certFile)
	}
	return flags
}

// newLog writes JSON, one record a line; on a terminal something for people.
func newLog(out *streams) *slog.Logger {
	if f, ok := out.Stderr.(*os.File); ok && isTerminal(f) {
		return slog.New(tint.NewTextHandler(f, &tint.Options{TimeFormat: time.TimeOnly, NoColor: out.Plain}))
	}
	return slog.New(slog.NewJSONHandler(out.Stderr, nil))
}
