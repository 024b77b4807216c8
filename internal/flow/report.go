package flow

import (
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Check is one thing that was looked at.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Got      string `json:"got,omitempty"`
	Detail   string `json:"detail,omitempty"`   // the server's error_description, or why the check failed
	Exchange int    `json:"exchange,omitempty"` // number (from 1) of the step's exchange that this check is about
}

// Step is one numbered part of a flow.
type Step struct {
	Number    int         `json:"number"`
	Of        int         `json:"of"`
	Title     string      `json:"title"`
	Skipped   string      `json:"skipped,omitempty"` // why nothing was done
	Did       string      `json:"did,omitempty"`     // what a person did, where the Exchanges would not say it
	Exchanges []*Exchange `json:"exchanges,omitempty"`
	JWTs      []JWT       `json:"jwts,omitempty"` // answers that are JWTs, decrypted where they were encrypted
	Checks    []Check     `json:"checks,omitempty"`
}

// Report is what a flow did and found.
type Report struct {
	Flow      string        `json:"flow"`
	Issuer    string        `json:"issuer"`
	NotPlayed string        `json:"not_played,omitempty"` // why
	Passed    int           `json:"passed"`
	Failed    int           `json:"failed"`
	Duration  time.Duration `json:"duration_ns"`
	Steps     []*Step       `json:"steps"`
}

// check records a finding.
func (s *Step) check(name string, ok bool, expected, got string) {
	s.Checks = append(s.Checks, Check{Name: name, OK: ok, Expected: expected, Got: got})
}

// equal records whether a value is the expected one.
func (s *Step) equal(name, expected string, got any) {
	s.check(name, text(got) == expected, expected, text(got))
}

// bound records whether claims bind a token to what it should be bound to.
func (s *Step) bound(to binding, claims map[string]any) {
	s.equal("cnf."+to.member+" is the thumbprint of "+to.of, to.thumbprint, confirmation(claims, to.member))
}

// scope records whether a scope is the one that was asked for.
func (s *Step) scope(asked, got string) {
	s.check("scope is what was asked for", sameScope(asked, got), asked, got)
}

// sameScope compares scopes, in which order means nothing (RFC 6749 §3.3).
func sameScope(a, b string) bool {
	sorted := func(scope string) []string { return slices.Sorted(slices.Values(strings.Fields(scope))) }
	return slices.Equal(sorted(a), sorted(b))
}

// answers records whether an exchange had the expected status and, when code is not empty, the expected error.
func (s *Step) answers(name string, exchange *Exchange, status int, code string) {
	expected := strings.TrimSpace(fmt.Sprint(status, " ", code))
	s.check(name, exchange.Status == status && (code == "" || exchange.ErrorCode() == code), expected, exchange.Outcome())
	s.Checks[len(s.Checks)-1].Detail = exchange.ErrorDescription()
}

// judged is answers for an exchange that happened only for this check's sake.
func (s *Step) judged(name string, exchange *Exchange, status int, code string) {
	s.answers(name, exchange, status, code)
	s.about(exchange)
}

// about ties the last check to the exchange that happened for its sake.
func (s *Step) about(exchange *Exchange) {
	s.Checks[len(s.Checks)-1].Exchange = slices.Index(s.Exchanges, exchange) + 1
}

// fail records the error that ends a flow.
func (s *Step) fail(err error) {
	check := Check{Name: "the flow can go on", Expected: "no error", Got: err.Error()}
	var refusal *Refusal
	if errors.As(err, &refusal) {
		check = Check{Name: "the answer that the flow needs", Expected: fmt.Sprint(refusal.Expected),
			Got: refusal.Exchange.Outcome(), Detail: refusal.Exchange.ErrorDescription()}
	}
	s.Checks = append(s.Checks, check)
}

// nonceChallenge explains and checks the request for a nonce in this step, if there was one: an ordinary token error
// with a nonce (RFC 9449 §8), after which the same assertion is still good for the status of success.
func (s *Step) nonceChallenge(success int) {
	for i, exchange := range s.Exchanges {
		if exchange.ErrorCode() != "use_dpop_nonce" {
			continue
		}
		exchange.Note = "expected on first use; retrying with the nonce and the same assertion"
		header := exchange.ResponseHeader
		s.equal("the challenge is a 400 without WWW-Authenticate", "400", strings.TrimSpace(fmt.Sprint(exchange.Status, " ", header.Get("WWW-Authenticate"))))
		s.check("the challenge brings one DPoP-Nonce", len(header.Values("DPoP-Nonce")) == 1, "1", fmt.Sprint(len(header.Values("DPoP-Nonce"))))
		if i+1 < len(s.Exchanges) {
			s.answers("the same assertion is good with the nonce", s.Exchanges[i+1], success, "")
		}
	}
}

// tidy checks what every answer with JSON owes its reader: it is not cached, and it has no empty members, which
// clients refuse.
func (s *Step) tidy(exchange *Exchange) {
	s.check("the answer must not be cached", strings.Contains(exchange.ResponseHeader.Get("Cache-Control"), "no-store"),
		"no-store", exchange.ResponseHeader.Get("Cache-Control"))
	var empty []string
	for name, value := range exchange.JSON() {
		if value == nil || value == "" {
			empty = append(empty, name)
		}
	}
	slices.Sort(empty)
	s.check("no member is null or empty", len(empty) == 0, "none", strings.Join(empty, " "))
}

type stage struct {
	title string
	play  func(context.Context, *Step) error
}

// play runs the stages in order and hands each finished step to done. A stage's error ends the flow as a failed check;
// only *Unreachable is also returned.
func play(ctx context.Context, server *Server, name string, stages []stage, done func(*Step)) (*Report, error) {
	report := &Report{Flow: name, Issuer: server.Issuer}
	started := server.Now()
	defer func() { server.trace = nil }()
	for i, stage := range stages {
		step := &Step{Number: i + 1, Of: len(stages), Title: stage.title}
		server.trace = func(exchange *Exchange) { step.Exchanges = append(step.Exchanges, exchange) }
		err := stage.play(ctx, step)
		if err != nil {
			step.fail(err)
		}
		report.Steps = append(report.Steps, step)
		for _, check := range step.Checks {
			if check.OK {
				report.Passed++
			} else {
				report.Failed++
			}
		}
		report.Duration = server.Now().Sub(started)
		if done != nil {
			done(step)
		}
		var unreachable *Unreachable
		switch {
		case errors.As(err, &unreachable):
			return report, err
		case err != nil:
			return report, nil
		}
	}
	return report, nil
}

// What must not be shown: parameters of requests, redirects and forms, and members of answers.
var (
	secretParameters = []string{"assertion", "client_assertion", "client_secret", "code", "code_verifier", "form_token", "id_token_hint",
		"password", "refresh_token", "request", "request_uri", "response", "token"}
	secretMembers = []string{"access_token", "client_secret", "id_token", "refresh_token", "registration_access_token", "request_uri"}
)

// Redacted is the report with a placeholder for every secret.
func (r *Report) Redacted() *Report {
	redacted := *r
	redacted.Steps = make([]*Step, len(r.Steps))
	for i, step := range r.Steps {
		redacted.Steps[i] = step.Redacted()
	}
	return &redacted
}

// Redacted is the step with a placeholder such as <client_assertion> for every credential and proof in it, wherever it
// turns up. What the JWTs say stays; their signatures go.
func (s *Step) Redacted() *Step {
	secrets := strings.NewReplacer(s.secrets()...)
	redacted := *s
	redacted.Checks = slices.Clone(s.Checks)
	for i := range redacted.Checks {
		check := &redacted.Checks[i]
		check.Expected, check.Got, check.Detail = secrets.Replace(check.Expected), secrets.Replace(check.Got), secrets.Replace(check.Detail)
	}
	redacted.Exchanges = make([]*Exchange, len(s.Exchanges))
	for i, exchange := range s.Exchanges {
		e := *exchange
		e.URL = secrets.Replace(e.URL)
		e.RequestHeader, e.ResponseHeader = replaceAll(secrets, e.RequestHeader), replaceAll(secrets, e.ResponseHeader)
		e.RequestBody, e.ResponseBody = secrets.Replace(e.RequestBody), secrets.Replace(e.ResponseBody)
		e.JWTs = redactedJWTs(e.JWTs)
		redacted.Exchanges[i] = &e
	}
	redacted.JWTs = redactedJWTs(s.JWTs)
	return &redacted
}

// redactedJWTs are JWTs of which nothing can be used again: what a request object or an answer says may be a secret itself.
func redactedJWTs(jwts []JWT) []JWT {
	redacted := slices.Clone(jwts)
	for i := range redacted {
		j := &redacted[i]
		j.Compact, j.Claims = "", maps.Clone(j.Claims)
		for _, name := range secretParameters {
			if _, said := j.Claims[name]; said {
				j.Claims[name] = "<" + name + ">"
			}
		}
	}
	return redacted
}

// secrets pairs each secret of the step, as it is written in texts, URLs and pages, with its placeholder.
func (s *Step) secrets() []string {
	var pairs []string
	add := func(secret, name string) {
		for _, spelling := range []string{url.QueryEscape(secret), html.EscapeString(secret), secret} {
			if spelling != "" {
				pairs = append(pairs, spelling, "<"+name+">")
			}
		}
	}
	for _, exchange := range s.Exchanges {
		for _, params := range exchange.parameters() {
			for _, name := range secretParameters {
				add(params.Get(name), name)
			}
		}
		answer := exchange.JSON()
		for _, name := range secretMembers {
			secret, _ := answer[name].(string)
			add(secret, name)
		}
		for _, cookie := range exchange.cookies() {
			add(cookie.Value, cookie.Name)
		}
		add(exchange.RequestHeader.Get("DPoP"), "DPoP")
		_, token, _ := strings.Cut(exchange.RequestHeader.Get("Authorization"), " ")
		add(token, "token")
	}
	return pairs
}

func replaceAll(secrets *strings.Replacer, header http.Header) http.Header {
	header = header.Clone()
	for _, values := range header {
		for i := range values {
			values[i] = secrets.Replace(values[i])
		}
	}
	return header
}
