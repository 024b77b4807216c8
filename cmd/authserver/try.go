package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"authserver/internal/flow"
)

// tryCmd drives a FAPI 2.0 flow against an issuer and shows every step: `authserver try`.
type tryCmd struct {
	Issuer             string        `placeholder:"URL" help:"Issuer to drive; its metadata names the rest. Unset: the dev on this machine, http://localhost:8080, or https://localhost:8443 where that one alone answers."`
	Flow               string        `default:"cc" enum:"cc,code,refresh,fdx,openid,mtls,jwt-bearer,all" help:"Flow to drive: ${enum}. all drives every flow that the issuer's metadata offers, and names the others."`
	Username           string        `default:"alex" help:"Person who signs in, with every flow but cc and jwt-bearer; the default is the one of dev."`
	Password           string        `default:"alex-demo" help:"That person's password."`
	Browser            bool          `help:"Let a person sign in and answer, in a browser on this machine."`
	RegistrarKey       string        `type:"path" placeholder:"FILE" xor:"registration" help:"Private JWK, with client_id beside it, of a client that may register others. Default: the one of dev."`
	InitialAccessToken string        `placeholder:"TOKEN" xor:"registration" help:"Register with this token instead."`
	ResourceServerKey  string        `type:"path" placeholder:"FILE" help:"Private JWK, with client_id beside it, of a resource server that introspects. Default: the one of dev."`
	IssuerKey          string        `type:"path" placeholder:"FILE" help:"Private JWK, with iss beside it, of a trusted issuer of assertions (jwt-bearer). Default: the one of dev."`
	JSON               bool          `name:"json" xor:"output" help:"Print the report as one JSON document."`
	Curl               bool          `xor:"output" help:"Print each request as a curl command too."`
	Save               string        `type:"path" placeholder:"DIR" help:"Write the report of each flow to DIR/FLOW.json too, with every request and answer."`
	ShowTokens         bool          `help:"Show tokens, assertions and thumbprints in full."`
	CACert             string        `name:"ca-cert" aliases:"ca" type:"path" placeholder:"FILE" help:"PEM file of certificate authorities to trust instead of the system's. Default: the one of dev --tls, beside those."`
	Cert               string        `type:"path" placeholder:"FILE" and:"certificate" help:"PEM certificate chain for every flow to show, at mtls_endpoint_aliases. Default: the one of dev --tls, for mtls alone."`
	Key                string        `type:"path" placeholder:"FILE" and:"certificate" help:"PEM private key of that certificate."`
	State              string        `type:"path" placeholder:"DIR" help:"State folder of dev, for what stands there by default. Unset: the one of the issuer."`
	Timeout            time.Duration `default:"10s" help:"Limit of one request."`
}

// Run drives the flows. Exit codes: 1 a check failed, 2 a wrong flag or file, 3 the issuer cannot be reached.
func (c *tryCmd) Run(ctx context.Context, out *streams) error {
	if c.Issuer == "" {
		c.Issuer = usualIssuer(listens)
	}
	with, err := c.prepare()
	if missing := lacks(c.story(), with); err == nil && c.Flow != everyFlow && missing != "" {
		err = errors.New("--flow " + c.Flow + ": " + missing)
	}
	if err != nil {
		return exitError{Code: exitUsage, Msg: err.Error()}
	}
	with.Ask = c.asks(out.Stderr)
	t := &transcript{w: out.Stdout, origin: flow.Origin(c.Issuer), plain: out.Plain, curl: c.Curl,
		caFile: or(c.CACert, c.found(devAuthorityFile)), full: c.ShowTokens}
	if !c.JSON {
		fmt.Fprintf(out.Stdout, "FAPI 2.0 Security Profile, %s, against %s\n\n", c.by(), c.Issuer)
		with.Done = t.step
	}
	var reports tried
	if c.Flow == everyFlow {
		reports, err = c.playAll(ctx, with, t)
	} else {
		reports, err = c.playOne(ctx, with)
	}
	if err := c.save(reports); err != nil {
		return exitError{Code: exitFailed, Msg: err.Error()}
	}
	if c.JSON {
		if err := c.print(out.Stdout, reports); err != nil {
			return err
		}
	} else if err == nil {
		fmt.Fprintln(out.Stdout, "\n"+reports.summary())
	}
	switch {
	case ctx.Err() != nil:
		return exitError{Code: exitFailed, Msg: "interrupted"}
	case err != nil:
		return exitError{Code: exitUnreachable, Msg: fmt.Sprintf("cannot reach %s: %v", c.Issuer, err)}
	case !reports.held() && c.JSON:
		return exitError{Code: exitFailed, Msg: reports.summary()}
	case !reports.held():
		return exitError{Code: exitFailed} // Stdout ends with the summary already.
	}
	return nil
}

// usualIssuer is that of the dev on this machine, or of dev --tls where that one alone answers.
func usualIssuer(answers func(issuer string) bool) string {
	if !answers(defaultIssuer) && answers(devTLSIssuer) {
		return devTLSIssuer
	}
	return defaultIssuer
}

// listens tells whether anything takes connections where an issuer with a port is.
func listens(issuer string) bool {
	_, address, _ := strings.Cut(issuer, "://")
	connection, err := net.DialTimeout("tcp", address, time.Second)
	return err == nil && connection.Close() == nil
}

// by says in few words by what the flows prove themselves.
func (c *tryCmd) by() string {
	if c.Flow == everyFlow {
		return "every flow"
	}
	return c.story().By
}

// asks is what shows a person at a browser where to go; nil: the flow plays the person.
func (c *tryCmd) asks(talk io.Writer) func(string, int64) {
	if !c.Browser {
		return nil
	}
	return func(url string, seconds int64) { invite(talk, url, seconds) }
}

// invite shows a person the page to open, and opens it where the desktop has a command for that.
func invite(talk io.Writer, url string, seconds int64) {
	fmt.Fprintf(talk, "open this page within %d seconds, and answer it within 10 minutes:\n\n  %s\n\n", seconds, clean(url))
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return // The issuer named it: a desktop would open anything.
	}
	for _, opener := range []string{"xdg-open", "open"} {
		command := exec.Command(opener, url)
		if command.Start() == nil {
			go command.Wait() // Whether it worked is seen on the screen.
			return
		}
	}
}

// prepare reads the files that the flags name. Keys that none names are looked for in dev's state folder.
func (c *tryCmd) prepare() (with flow.Authorization, err error) {
	with.Person = flow.Person{Username: c.Username, Password: c.Password}
	if _, err := flow.MetadataURL(c.Issuer); err != nil {
		return with, err
	}
	if c.Browser && (c.Flow == "cc" || c.Flow == "jwt-bearer") {
		return with, errors.New("--browser needs a flow with a person: --flow code, refresh, fdx, openid, mtls or all")
	}
	if c.State != "" {
		if _, err := os.Stat(c.State); err != nil {
			return with, err
		}
	}
	if c.Save != "" {
		if err := os.MkdirAll(c.Save, 0o700); err != nil {
			return with, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = c.trust(); err != nil {
		return with, err
	}
	with.InitialAccessToken = c.InitialAccessToken
	with.Server = &flow.Server{Issuer: c.Issuer, HTTP: flow.NewHTTPClient(transport, c.Timeout), Now: time.Now}
	if err := c.readCredentials(&with); err != nil || c.Cert == "" {
		return with, err
	}
	if with.Server, err = with.Server.Showing(with.Certificate); err == nil {
		with.Server.MutualTLS = true
	}
	return with, err
}

// readCredentials reads keys and the certificate.
func (c *tryCmd) readCredentials(with *flow.Authorization) error {
	var errRegistrar, errResource, errIssuer, errCertificate error
	if c.InitialAccessToken == "" {
		with.RegistrarKey, errRegistrar = c.readKey(c.RegistrarKey, registrarKeyFile)
	}
	with.ResourceServerKey, errResource = c.readKey(c.ResourceServerKey, resourceServerKeyFile)
	with.IssuerKey, errIssuer = c.readKey(c.IssuerKey, issuerKeyFile)
	with.Certificate, errCertificate = c.readCertificate()
	return errors.Join(errRegistrar, errResource, errIssuer, errCertificate)
}

// trust says whom to trust.
func (c *tryCmd) trust() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	path, pool := c.CACert, x509.NewCertPool()
	if path == "" {
		if path = c.found(devAuthorityFile); path == "" {
			return config, nil
		}
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if config.RootCAs = pool; !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return config, nil
}

// readCertificate reads the certificate that the flags name, or else the one in dev's state folder, which may be missing.
func (c *tryCmd) readCertificate() (*flow.Certificate, error) {
	certFile, keyFile := c.Cert, c.Key
	if certFile == "" {
		certFile, keyFile = c.found(devClientCertFile), c.found(devClientKeyFile)
	}
	if certFile == "" || keyFile == "" {
		return nil, nil
	}
	return flow.ReadCertificate(certFile, keyFile)
}

// found is the path of a file in dev's state folder, or empty when it is not there.
func (c *tryCmd) found(name string) string {
	folder := c.State
	if folder == "" {
		var err error
		if folder, err = stateDir(c.Issuer); err != nil {
			return "" // Without a home there is no dev state either.
		}
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// readKey reads the file that a flag named, or else the one in dev's state folder, which may be missing.
func (c *tryCmd) readKey(path, name string) (*flow.Key, error) {
	if path = or(path, c.found(name)); path == "" {
		return nil, nil
	}
	key, err := flow.ReadKeyFile(path)
	switch {
	case err != nil:
		return nil, err
	case name == issuerKeyFile && key.Issuer == "":
		return nil, fmt.Errorf("%s has no member iss", path)
	case name != issuerKeyFile && key.ClientID == "":
		return nil, fmt.Errorf("%s has no member client_id", path)
	}
	return key, nil
}
