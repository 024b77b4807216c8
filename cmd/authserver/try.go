package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	Issuer             string        `default:"http://localhost:8080" placeholder:"URL" help:"Issuer to drive; its metadata names the rest."`
	Flow               string        `default:"cc" enum:"cc,code,refresh,fdx" help:"Flow to drive: ${enum}."`
	Username           string        `default:"alex" help:"Person who signs in with code, refresh and fdx; the default is the one of dev."`
	Password           string        `default:"alex-demo" help:"That person's password."`
	Browser            bool          `help:"Let a person sign in and answer, in a browser on this machine."`
	RegistrarKey       string        `type:"path" placeholder:"FILE" xor:"registration" help:"Private JWK, with client_id beside it, of a client that may register others. Default: the one of dev."`
	InitialAccessToken string        `placeholder:"TOKEN" xor:"registration" help:"Register with this token instead."`
	ResourceServerKey  string        `type:"path" placeholder:"FILE" help:"Private JWK, with client_id beside it, of a resource server that introspects. Default: the one of dev."`
	JSON               bool          `name:"json" xor:"output" help:"Print the report as one JSON document."`
	Curl               bool          `xor:"output" help:"Print each request as a curl command too."`
	ShowTokens         bool          `help:"Show tokens, assertions and thumbprints in full."`
	CACert             string        `name:"ca-cert" aliases:"ca" type:"path" placeholder:"FILE" help:"PEM file of certificate authorities to trust instead of the system's."`
	Cert               string        `type:"path" placeholder:"FILE" and:"certificate" help:"PEM certificate chain to show where mutual TLS is offered (mtls_endpoint_aliases)."`
	Key                string        `type:"path" placeholder:"FILE" and:"certificate" help:"PEM private key of that certificate."`
	Timeout            time.Duration `default:"10s" help:"Limit of one request."`
}

// Run drives the flow. Exit codes: 1 a check failed, 2 a wrong flag or file, 3 the issuer cannot be reached.
func (c *tryCmd) Run(ctx context.Context, out *streams) error {
	registrant, err := c.prepare()
	if err != nil {
		return exitError{Code: exitUsage, Msg: err.Error()}
	}
	t := &transcript{w: out.Stdout, origin: flow.Origin(c.Issuer), plain: out.Plain, curl: c.Curl, full: c.ShowTokens}
	if !c.JSON {
		fmt.Fprintf(out.Stdout, "FAPI 2.0 Security Profile, private_key_jwt + DPoP, against %s\n\n", c.Issuer)
		registrant.Done = t.step
	}
	run := c.choose(registrant, func(url string, seconds int64) { invite(out.Stderr, url, seconds) })
	report, err := run.Run(ctx)
	summary := fmt.Sprintf("%d checks passed in %d ms", report.Passed, report.Duration.Milliseconds())
	if report.Failed > 0 {
		summary = fmt.Sprintf("%d of %d checks failed", report.Failed, report.Failed+report.Passed)
	}
	if c.JSON {
		if err := writeReport(out.Stdout, report, c.ShowTokens); err != nil {
			return err
		}
	} else if err == nil {
		fmt.Fprintln(out.Stdout, "\n"+summary)
	}
	switch {
	case ctx.Err() != nil:
		return exitError{Code: exitFailed, Msg: "interrupted"}
	case err != nil:
		return exitError{Code: exitUnreachable, Msg: fmt.Sprintf("cannot reach %s: %v", c.Issuer, err)}
	case report.Failed > 0 && c.JSON:
		return exitError{Code: exitFailed, Msg: summary}
	case report.Failed > 0:
		return exitError{Code: exitFailed} // Stdout ends with the summary already.
	}
	return nil
}

// driver is a flow that is ready to run.
type driver interface {
	Run(context.Context) (*flow.Report, error)
}

// choose picks the flow. With a person at the browser, ask shows where to go.
func (c *tryCmd) choose(registrant flow.Registrant, ask func(string, int64)) driver {
	authorization := flow.Authorization{Registrant: registrant, Person: flow.Person{Username: c.Username, Password: c.Password}}
	if c.Browser {
		authorization.Ask = ask
	}
	switch c.Flow {
	case "code":
		return &flow.AuthorizationCode{Authorization: authorization}
	case "refresh":
		return &flow.Refresh{Authorization: authorization}
	case "fdx":
		return &flow.FDX{Authorization: authorization}
	}
	return &flow.ClientCredentials{Registrant: registrant}
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
func (c *tryCmd) prepare() (flow.Registrant, error) {
	var registrant flow.Registrant
	if _, err := flow.MetadataURL(c.Issuer); err != nil {
		return registrant, err
	}
	if c.Browser && c.Flow == "cc" {
		return registrant, errors.New("--browser needs a flow with a person: --flow code, --flow refresh or --flow fdx")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	var err error
	if transport.TLSClientConfig, err = c.tlsConfig(); err != nil {
		return registrant, err
	}
	registrant.InitialAccessToken = c.InitialAccessToken
	registrant.Server = &flow.Server{
		Issuer: c.Issuer, HTTP: flow.NewHTTPClient(transport, c.Timeout), MutualTLS: c.Cert != "", Now: time.Now,
	}
	var errRegistrar, errResource error
	if c.InitialAccessToken == "" {
		registrant.RegistrarKey, errRegistrar = c.readKey(c.RegistrarKey, registrarKeyFile)
	}
	registrant.ResourceServerKey, errResource = c.readKey(c.ResourceServerKey, resourceServerKeyFile)
	return registrant, errors.Join(errRegistrar, errResource)
}

// tlsConfig says whom to trust, and which certificate to show to whoever asks for one.
func (c *tryCmd) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.CACert)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// readKey reads the file that a flag named, or else the one in dev's state folder, which may be missing.
func (c *tryCmd) readKey(path, name string) (*flow.Key, error) {
	optional := path == ""
	if optional {
		folder, err := stateDir(c.Issuer)
		if err != nil {
			return nil, nil // Without a home there is no dev state either.
		}
		path = filepath.Join(folder, name)
	}
	key, err := flow.ReadKeyFile(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case key.ClientID == "":
		return nil, fmt.Errorf("%s has no member client_id", path)
	}
	return key, nil
}

func writeReport(w io.Writer, report *flow.Report, full bool) error {
	if !full {
		report = report.Redacted()
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
