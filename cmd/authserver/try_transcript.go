package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"authserver/internal/flow"
)

// The columns and terminal styles (ECMA-48) of a transcript.
const (
	indent        = "      "
	requestColumn = 26
	outcomeColumn = 44
	verdictColumn = 80
	green         = "32"
	red           = "1;31"
	faint         = "2"
	bold          = "1"
)

// transcript prints the steps of a flow for people.
type transcript struct {
	w      io.Writer
	origin string // left out of the URLs shown
	plain  bool
	curl   bool
	caFile string // of the authorities that curl is told to trust; empty: those that it trusts by itself
	full   bool   // secrets and thumbprints unabbreviated
}

// heading introduces a flow among several, or says why it is not played.
func (t *transcript) heading(story flow.Story, notPlayed string, first bool) {
	if !first {
		fmt.Fprintln(t.w)
	}
	t.line(bold, story.Name+": "+story.Tells)
	if notPlayed != "" {
		t.line("", "not played: "+notPlayed)
		return
	}
	fmt.Fprintln(t.w)
}

func (t *transcript) step(step *flow.Step) {
	if !t.full {
		step = step.Redacted()
	}
	lead := fmt.Sprintf("[%d/%d] %s", step.Number, step.Of, step.Title)
	if step.Skipped != "" {
		lead = pad(lead, requestColumn) + "skipped: " + step.Skipped
	}
	if step.Did != "" {
		t.line("", pad(lead, requestColumn)+step.Did)
		lead = ""
	}
	judged := map[int]bool{}
	for _, check := range step.Checks {
		judged[check.Exchange] = true
	}
	for i, exchange := range step.Exchanges {
		// What a person did stands for the pages; only curl wants them one by one.
		if !judged[i+1] && (step.Did == "" || t.curl) {
			t.exchange(lead, exchange)
			lead = ""
		}
	}
	if lead != "" {
		t.line("", lead)
	}
	for _, jwt := range step.JWTs {
		t.jwt(jwt)
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
	if shown := exchange.Certificate; shown != nil {
		t.line(faint, indent+pad("certificate", 18)+shown.Subject+"  x5t#S256="+t.short(shown.Thumbprint))
	}
	for _, jwt := range exchange.JWTs {
		t.jwt(jwt)
	}
	asked, granted := exchange.Details()
	for _, detail := range append(asked, granted...) {
		t.line(faint, indent+pad(detail.Type, 18)+describeDetail(detail))
	}
	if t.curl {
		t.line("", t.command(exchange))
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
		t.line("", t.command(exchange))
	}
}

func (t *transcript) jwt(jwt flow.JWT) {
	t.line(faint, indent+pad(jwt.Name, 18)+t.describe(jwt))
	if t.full {
		t.line(faint, indent+pad("", 18)+jwt.Compact)
	}
}

// describe shows what matters of a JWT on one line.
func (t *transcript) describe(jwt flow.JWT) string {
	if jwt.JKT != "" {
		return strings.TrimSuffix(fmt.Sprintf("htm=%s  htu=%s  jkt=%s  nonce=%s", jwt.Claim("htm"), jwt.Claim("htu"),
			t.short(jwt.JKT), t.short(jwt.Claim("nonce"))), "  nonce=")
	}
	says := []string{fmt.Sprintf("{%q:%q,%q:%q}", "alg", jwt.Member("alg"), "kid", t.short(jwt.Member("kid")))}
	add := func(name, value string) {
		if value != "" {
			says = append(says, name+"="+value)
		}
	}
	if jwt.Claim("iss") == jwt.Claim("sub") {
		add("iss=sub", jwt.Claim("sub"))
	} else {
		add("iss", jwt.Claim("iss"))
		add("sub", jwt.Claim("sub"))
	}
	add("aud", jwt.Claim("aud"))
	if lifetime := flow.Lifetime(jwt.Claims); lifetime > 0 {
		add("exp", fmt.Sprintf("+%ds", lifetime))
	}
	add("cnf.jkt", t.short(flow.Confirmation(jwt.Claims)))
	add("cnf.x5t#S256", t.short(flow.CertificateConfirmation(jwt.Claims)))
	add("nonce", t.short(jwt.Claim("nonce")))
	add("acr", jwt.Claim("acr"))
	return strings.Join(says, "  ")
}

// describeDetail shows on one line for how long which data is asked for, or is granted and of what.
func describeDetail(detail flow.Detail) string {
	consent := detail.ConsentRequest
	duration := consent.DurationType
	if consent.DurationPeriod > 0 {
		duration += fmt.Sprintf(" %d days", consent.DurationPeriod)
	}
	line := duration + "  " + strings.Join(detail.Clusters(), ", ")
	if ids := detail.Of(); len(ids) > 0 {
		line += "  of " + strings.Join(ids, ", ")
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

// command writes an exchange's request as a command line of curl for a POSIX shell.
func (t *transcript) command(exchange *flow.Exchange) string {
	words := []string{"curl", "-i", "-X", exchange.Method, quote(exchange.URL)}
	if t.caFile != "" {
		words = append(words, "--cacert", quote(t.caFile))
	}
	shown := exchange.Certificate
	if shown != nil && shown.CertFile != "" {
		words = append(words, "--cert", quote(shown.CertFile), "--key", quote(shown.KeyFile))
	}
	for _, name := range slices.Sorted(maps.Keys(exchange.RequestHeader)) {
		for _, value := range exchange.RequestHeader[name] {
			words = append(words, "-H", quote(strings.Replace(name, "Dpop", "DPoP", 1)+": "+value))
		}
	}
	if exchange.RequestBody != "" {
		words = append(words, "--data-raw", quote(exchange.RequestBody))
	}
	if shown != nil && shown.CertFile == "" {
		words = append(words, "# with a certificate that was made for this")
	}
	return strings.Join(words, " ")
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
