package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/store"
)

// needsDatabase tells whether the database can be asked, and notes the check as skipped when it cannot.
func (e *examination) needsDatabase(check string) bool {
	if e.store == nil {
		e.found(check, skipped, "the database is out of reach", "")
	}
	return e.store != nil
}

// minPostgres is the oldest major version whose connections tell when their server becomes read-only.
const minPostgres = 14

func (e *examination) checkDatabase(ctx context.Context) {
	if e.store == nil {
		e.found("database", failed, e.database, "check the URL, the network policy and the role's password")
		return
	}
	c, err := e.store.Inspect(ctx)
	if err != nil {
		e.found("database", failed, err.Error(), "")
		return
	}
	what := fmt.Sprintf("PostgreSQL %s as role %s, %d of %d connections for this replica", c.Version, c.Role, c.Pool, c.MaxConnections)
	switch {
	case c.VersionNumber < minPostgres*10000:
		e.found("database", failed, what, fmt.Sprintf("PostgreSQL %d or newer is needed", minPostgres))
	case e.dev:
		e.found("database", passed, what, "")
	case c.Superuser:
		e.found("database", warning, what+"; the role is a superuser", "serve with the role that deploy/postgres/roles.sql makes")
	case c.MayChange:
		e.found("database", warning, what+"; the role may change the schema", "serve with the role that deploy/postgres/roles.sql makes")
	case !c.Encrypted && !c.Local:
		e.found("database", warning, what+"; the connection is not encrypted", "add sslmode=verify-full to the URL")
	default:
		e.found("database", passed, what, "")
	}
}

func (e *examination) checkClock(ctx context.Context) {
	if !e.needsDatabase("clock") {
		return
	}
	before := time.Now()
	database, err := e.store.Clock(ctx)
	if err != nil {
		e.found("clock", failed, err.Error(), "")
		return
	}
	apart := before.Add(time.Since(before) / 2).Sub(database)
	detail := fmt.Sprintf("%d ms apart from the database's", apart.Abs().Milliseconds())
	if apart.Abs() > clockLimit {
		e.found("clock", failed, detail, fmt.Sprintf("a replica more than %s apart takes no traffic; run an NTP client on both machines", clockLimit))
		return
	}
	e.found("clock", passed, detail, "")
}

func (e *examination) checkMigrations(ctx context.Context) {
	if !e.needsDatabase("migrations") {
		return
	}
	if err := wantMigrated(ctx, e.store); err != nil {
		e.found("migrations", failed, err.Error(), "")
		return
	}
	e.found("migrations", passed, "none is pending", "")
}

func (e *examination) checkStamp(ctx context.Context) {
	if !e.needsDatabase("stamp") {
		return
	}
	d, stamped, err := e.store.Deployment(ctx)
	switch {
	case err != nil:
		e.found("stamp", failed, err.Error(), "")
	case !stamped:
		e.found("stamp", warning, "the database belongs to nobody yet", "the first start of authserver serve stamps it")
	case d != store.Deployment{Mode: e.mode, Issuer: e.config.issuer}:
		e.found("stamp", failed, fmt.Sprintf("the database belongs to mode %s, issuer %s", d.Mode, d.Issuer), "one database serves one issuer")
	default:
		e.found("stamp", passed, "mode "+d.Mode+", issuer "+d.Issuer, "")
	}
}

func (e *examination) checkSweeper(ctx context.Context) {
	if !e.needsDatabase("sweeper") {
		return
	}
	n, err := e.store.Unswept(ctx)
	switch {
	case err != nil:
		e.found("sweeper", failed, err.Error(), "")
	case n > 1:
		e.found("sweeper", warning, "the replay ring holds slots that nobody empties", "it costs space, never a replay; look for \"sweep\" in the log")
	default:
		e.found("sweeper", passed, "the replay ring is swept", "")
	}
}

// checkProxies judges whom the server believes where a request comes from.
func (e *examination) checkProxies(context.Context) {
	trusted := e.config.trustedProxies
	for _, p := range trusted {
		if p.Bits() == 0 {
			e.found("proxies", failed, fmt.Sprintf("trusted-proxies holds %s: every client can choose its own address and certificate", p), "list the proxies only")
			return
		}
	}
	switch {
	case len(trusted) > 0:
		believed := "X-Forwarded-For"
		if e.config.mtls.header != "" {
			believed += " and " + e.config.mtls.header
		}
		e.found("proxies", passed, fmt.Sprintf("believed from %s: %s", trusted, believed), "")
	case e.config.certFile == "" && !e.dev:
		e.found("proxies", warning, "a proxy ends TLS in front, and none is trusted: limits and logs see the proxy's address", "set trusted-proxies to its range")
	default:
		e.found("proxies", passed, "none is trusted; addresses are those of the connections", "")
	}
}

// checkKeyFetch plays what a hostile client would register as its jwks_uri.
func (e *examination) checkKeyFetch(context.Context) {
	var reachable []string
	for _, host := range []string{"127.0.0.1", "[::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1", "0.0.0.0"} {
		if e.config.vetting.CheckURI("https://"+host+"/jwks") == nil {
			reachable = append(reachable, host)
		}
	}
	metadata := netip.MustParseAddr("169.254.169.254")
	for _, p := range e.config.vetting.AllowCIDRs {
		if p.Contains(metadata) {
			e.found("key fetch", failed, "a client's jwks_uri may name the cloud's metadata service", "take its range out of jwks-allow-cidrs")
			return
		}
	}
	switch {
	case len(reachable) == 0:
		e.found("key fetch", passed, "a client's jwks_uri reaches public addresses only", "")
	case e.dev:
		e.found("key fetch", passed, "dev lets a client's jwks_uri reach this machine", "")
	default:
		e.found("key fetch", warning, "a client's jwks_uri may name "+strings.Join(reachable, ", "), "narrow jwks-allow-cidrs where you can")
	}
}

// checkRedaction logs planted secrets as the server would and looks for them.
func (e *examination) checkRedaction(context.Context) {
	secret := oauth.NewSecret()
	planted := keys.EncryptionKeys{[]byte(secret.Reveal())}
	var b bytes.Buffer
	log := newLog(&streams{Stderr: &b})
	log.Info("self-test", "secret", secret, "keys", planted, slog.Group("group", "secret", secret, "all", []any{secret, planted}),
		"cause", fmt.Errorf("with %v, %s and %+v: %w", secret, planted, planted, errors.ErrUnsupported).Error())
	if strings.Contains(b.String(), secret.Reveal()) || strings.Contains(b.String(), fmt.Sprintf("%x", secret.Reveal())) || !strings.Contains(b.String(), "[redacted]") {
		e.found("log", failed, "a planted secret came out of the log", "report this: SECURITY.md")
		return
	}
	e.found("log", passed, "planted secrets come out as [redacted]", "")
}

// checkReplica asks the replica on this machine, if there is one.
func (e *examination) checkReplica(ctx context.Context) {
	address, err := localAddress(e.config.managementListen)
	if err != nil {
		e.found("replica", skipped, "management-listen cannot be read", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	states := map[string]string{}
	status, err := getJSON(ctx, http.DefaultClient, "http://"+address+"/readyz", &states)
	switch {
	case err != nil:
		e.found("replica", skipped, "none answers at "+address, "")
	case status != http.StatusOK:
		e.found("replica", failed, fmt.Sprintf("not ready: %v", states), "")
	default:
		e.found("replica", passed, "ready at "+address, "")
	}
}

// getJSON reads a small document.
func getJSON(ctx context.Context, client *http.Client, url string, into any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<20)).Decode(into)
}
