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
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"authserver/internal/flow"
)

// tryCmd drives a FAPI 2.0 flow against an issuer and shows every step: `authserver try`.
type tryCmd struct {
	Issuer             string        `default:"http://localhost:8080" placeholder:"URL" help:"Issuer to drive; its metadata names the rest."`
	Flow               string        `default:"cc" enum:"cc" help:"Flow to drive: ${enum}."`
	RegistrarKey       string        `type:"path" placeholder:"FILE" xor:"registration" help:"Private JWK, with client_id beside it, of a client that may register others. Default: the one of dev."`
	InitialAccessToken string        `placeholder:"TOKEN" xor:"registration" help:"Register with this token instead."`
	ResourceServerKey  string        `type:"path" placeholder:"FILE" help:"Private JWK, with client_id beside it, of a resource server that introspects. Default: the one of dev."`
	JSON               bool          `name:"json" xor:"output" help:"Print the report as one JSON document."`
	Curl               bool          `xor:"output" help:"Print each request as a curl command too."`
	ShowTokens         bool          `help:"Show tokens, assertions and thumbprints in full."`
	CACert             string        `name:"ca-cert" type:"path" placeholder:"FILE" help:"PEM file of certificate authorities to trust instead of the system's."`
	Timeout            time.Duration `default:"10s" help:"Limit of one request."`
}

// Run drives the flow. Exit codes: 1 a check failed, 2 a wrong flag or file, 3 the issuer cannot be reached.
func (c *tryCmd) Run(ctx context.Context, out *streams) error {
	run, err := c.prepare()
	if err != nil {
		return exitError{Code: exitUsage, Msg: err.Error()}
	}
	t := &transcript{w: out.Stdout, origin: flow.Origin(c.Issuer), plain: out.Plain, curl: c.Curl, full: c.ShowTokens}
	if !c.JSON {
		fmt.Fprintf(out.Stdout, "FAPI 2.0 Security Profile, private_key_jwt + DPoP, against %s\n\n", c.Issuer)
		run.Done = t.step
	}
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

// prepare reads the files that the flags name. Keys that none names are looked for in dev's state folder.
func (c *tryCmd) prepare() (*flow.ClientCredentials, error) {
	if _, err := flow.MetadataURL(c.Issuer); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.CACert)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	run := &flow.ClientCredentials{InitialAccessToken: c.InitialAccessToken,
		Server: &flow.Server{Issuer: c.Issuer, HTTP: flow.NewHTTPClient(transport, c.Timeout), Now: time.Now}}
	var errRegistrar, errResource error
	if c.InitialAccessToken == "" {
		run.RegistrarKey, errRegistrar = c.readKey(c.RegistrarKey, registrarKeyFile)
	}
	run.ResourceServerKey, errResource = c.readKey(c.ResourceServerKey, resourceServerKeyFile)
	return run, errors.Join(errRegistrar, errResource)
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

// The columns and terminal styles (ECMA-48) of a transcript.
const (
	indent        = "      "
	requestColumn = 26
	outcomeColumn = 44
	verdictColumn = 80
	green         = "32"
	red           = "1;31"
	faint         = "2"
)

// transcript prints the steps of a flow for people.
type transcript struct {
	w      io.Writer
	origin string // left out of the URLs shown
	plain  bool
	curl   bool
	full   bool // secrets and thumbprints unabbreviated
}

func (t *transcript) step(step *flow.Step) {
	if !t.full {
		step = step.Redacted()
	}
	lead := fmt.Sprintf("[%d/%d] %s", step.Number, step.Of, step.Title)
	if step.Skipped != "" {
		lead = pad(lead, requestColumn) + "skipped: " + step.Skipped
	}
	judged := map[int]bool{}
	for _, check := range step.Checks {
		judged[check.Exchange] = true
	}
	for i, exchange := range step.Exchanges {
		if !judged[i+1] {
			t.exchange(lead, exchange)
			lead = ""
		}
	}
	if lead != "" {
		t.line("", lead)
	}
	for _, check := range step.Checks {
		var exchange *flow.Exchange
		if check.Exchange > 0 {
			exchange = step.Exchanges[check.Exchange-1]
		}
		t.check(check, exchange)
	}
}

func (t *transcript) exchange(lead string, exchange *flow.Exchange) {
	request := fmt.Sprintf("%s%-4s %s", pad(lead, requestColumn), exchange.Method, strings.TrimPrefix(exchange.URL, t.origin))
	t.line("", fmt.Sprintf("%s%d %3d ms", pad(request, verdictColumn), exchange.Status, exchange.Duration.Milliseconds()))
	if code := exchange.ErrorCode(); code != "" {
		if code == "use_dpop_nonce" {
			code += ", DPoP-Nonce " + t.short(exchange.ResponseHeader.Get("DPoP-Nonce"))
		}
		t.line(faint, indent+pad(code, 0)+exchange.ErrorDescription())
	}
	if exchange.Note != "" {
		t.line(faint, indent+exchange.Note)
	}
	for _, jwt := range exchange.JWTs {
		t.line(faint, indent+pad(jwt.Name, 18)+t.describe(jwt))
		if t.full {
			t.line(faint, indent+pad("", 18)+jwt.Compact)
		}
	}
	if t.curl {
		t.line("", curl(exchange))
	}
}

// check prints a finding; exchange is the request that was made for its sake, or nil.
func (t *transcript) check(check flow.Check, exchange *flow.Exchange) {
	finding := indent + check.Name
	if exchange != nil {
		finding = pad(finding, outcomeColumn) + check.Got
	}
	fmt.Fprint(t.w, pad(clean(finding), verdictColumn))
	if check.OK {
		t.line(green, "ok")
	} else {
		t.line(red, "FAIL")
		t.line("", indent+"  expected  "+check.Expected)
		t.line("", indent+"  got       "+check.Got)
	}
	if check.Detail != "" && (exchange != nil || !check.OK) {
		t.line(faint, indent+"  "+check.Detail)
	}
	if exchange == nil {
		return
	}
	if id := exchange.ResponseHeader.Get("x-fapi-interaction-id"); id != "" && !check.OK {
		t.line(faint, indent+"  x-fapi-interaction-id "+id)
	}
	if t.curl {
		t.line("", curl(exchange))
	}
}

// describe shows what matters of a JWT on one line.
func (t *transcript) describe(jwt flow.JWT) string {
	if jwt.JKT != "" {
		return strings.TrimSuffix(fmt.Sprintf("htm=%s  htu=%s  jkt=%s  nonce=%s", jwt.Claim("htm"), jwt.Claim("htu"),
			t.short(jwt.JKT), t.short(jwt.Claim("nonce"))), "  nonce=")
	}
	parties := "iss=" + jwt.Claim("iss") + "  sub=" + jwt.Claim("sub")
	if jwt.Claim("iss") == jwt.Claim("sub") {
		parties = "iss=sub=" + jwt.Claim("sub")
	}
	line := fmt.Sprintf("{%q:%q,%q:%q}  %s  aud=%s  exp=+%ds", "alg", jwt.Member("alg"), "kid", t.short(jwt.Member("kid")),
		parties, jwt.Claim("aud"), flow.Lifetime(jwt.Claims))
	if jkt := flow.Confirmation(jwt.Claims); jkt != "" {
		line += "  cnf.jkt=" + t.short(jkt)
	}
	return line
}

// short abbreviates identifiers and secrets, unless everything is to be shown.
func (t *transcript) short(value string) string {
	if t.full || utf8.RuneCountInString(value) <= 12 {
		return value
	}
	return string([]rune(value)[:4]) + "…"
}

// line prints one line, in a terminal style unless the output is plain.
func (t *transcript) line(style, line string) {
	line = strings.TrimRight(clean(line), " ")
	if style != "" && !t.plain {
		line = "\x1b[" + style + "m" + line + "\x1b[0m"
	}
	fmt.Fprintln(t.w, line)
}

// clean keeps what a server said from steering the terminal.
func clean(line string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, line)
}

// pad fills a line up to a column, and leaves two spaces after one that is longer.
func pad(line string, column int) string {
	return line + strings.Repeat(" ", max(column-utf8.RuneCountInString(line), 2))
}

// curl writes an exchange's request as a command line for a POSIX shell.
func curl(exchange *flow.Exchange) string {
	words := []string{"curl", "-i", "-X", exchange.Method, quote(exchange.URL)}
	for _, name := range slices.Sorted(maps.Keys(exchange.RequestHeader)) {
		for _, value := range exchange.RequestHeader[name] {
			words = append(words, "-H", quote(strings.Replace(name, "Dpop", "DPoP", 1)+": "+value))
		}
	}
	if exchange.RequestBody != "" {
		words = append(words, "--data-raw", quote(exchange.RequestBody))
	}
	return strings.Join(words, " ")
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
