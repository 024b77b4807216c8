package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"

	"github.com/google/go-cmp/cmp"
)

// module is one module of the OpenID Foundation's plans for FAPI 2.0, Security Profile and Message Signing, by its number
// in the project's list of all.
type module struct {
	number int
	name   string
	play   func(p *plan)
}

const modules = 78

// unplayed are the modules that wait for what they ask about, with the step that brings it, and those that ask about
// something that this server has no part in.
var unplayed = map[string][]int{
	"other profiles": {31, 33, 39, 44, 58, 59, 60, 61},
}

// variant is one way to set the suite up: what proves the clients, and what their tokens are bound to, by keys where it is
// not by certificates.
type variant struct {
	signs            bool // the clients must sign their requests, and do, and ask for signed answers (JARM)
	certificateAuth  bool // tls_client_auth
	certificateBound bool
}

func (v variant) anyCertificate() bool { return v.certificateAuth || v.certificateBound }

// The modules that ask about assertions and about proofs, so that there is nothing to them where clients have neither.
var (
	aboutAssertions = []int{51, 52, 53, 54, 55, 65, 66, 76, 77, 78}
	aboutProofs     = []int{12, 13, 14, 15, 16, 17, 18, 19, 56}
)

// plays tells whether a module is a part of the plan.
func (v variant) plays(number int) bool {
	return !(v.certificateAuth && slices.Contains(aboutAssertions, number)) &&
		!(v.certificateBound && slices.Contains(aboutProofs, number))
}

// plan is what the suite is set up with: an issuer with https, and two clients whose keys and certificates differ.
type plan struct {
	*deployment
	variant
	t             *testing.T
	first, second *flow.Client
	browser       *flow.Browser // alex is signed in there
}

// suite is where the clients of the plan have people sent back to. Nobody goes there.
const (
	suite      = "https://suite.example/test/a/authserver/callback"
	suiteQuery = suite + "?dummy1=lorem&dummy2=ipsum"
)

// TestConformance plays every module of the plans, and wants the strictest of the answers that a module takes: those of the
// Security Profile, with keys and with certificates, and those of Message Signing, where the requests are signed, and the
// answers (asking.opened holds each to conformance.md §2.3).
func TestConformance(t *testing.T) {
	t.Parallel()
	profile := slices.Concat(modulesOfFlows(), modulesOfPushes(), modulesOfBrowsers(), modulesOfCodes(), modulesOfClients(), modulesOfProofs(),
		modulesOfIdentity())
	signing := slices.Concat(profile, modulesOfObjects())
	checkNumbers(t, signing)
	t.Run("security profile", func(t *testing.T) { playPlan(t, profile, variant{}) })
	t.Run("message signing", func(t *testing.T) { playPlan(t, signing, variant{signs: true}) })
	t.Run("security profile, by certificate", func(t *testing.T) {
		playPlan(t, profile, variant{certificateAuth: true, certificateBound: true})
	})
	t.Run("security profile, by assertion, bound to certificates", func(t *testing.T) {
		playPlan(t, profile, variant{certificateBound: true})
	})
	t.Run("security profile, by certificate, bound to proofs", func(t *testing.T) {
		playPlan(t, profile, variant{certificateAuth: true})
	})
	t.Run("message signing, by certificate", func(t *testing.T) {
		playPlan(t, signing, variant{signs: true, certificateAuth: true, certificateBound: true})
	})
}

// checkNumbers wants every module once, played or unplayed.
func checkNumbers(t *testing.T, all []module) {
	t.Helper()
	listed := map[int]int{}
	for _, numbers := range unplayed {
		for _, n := range numbers {
			listed[n]++
		}
	}
	for _, m := range all {
		listed[m.number]++
	}
	for n := 1; n <= modules; n++ {
		if listed[n] != 1 {
			t.Errorf("module %d is played or listed %d times", n, listed[n])
		}
		delete(listed, n)
	}
	if len(listed) > 0 {
		t.Errorf("there is no module %v", listed)
	}
}

// playPlan plays modules in their order, on a deployment of their own.
func playPlan(t *testing.T, all []module, v variant) {
	slices.SortFunc(all, func(a, b module) int { return a.number - b.number })
	var d *deployment
	if v.anyCertificate() {
		d = deployCertified(t, 2, nil)
	} else {
		d = deploy(t, 2, secure)
	}
	set := plan{deployment: d, variant: v, first: d.conforming(0, "PS256", v), second: d.conforming(1, "ES256", v)}
	set.browser = flow.NewBrowser(set.first.Server)
	for _, m := range all {
		if !v.plays(m.number) {
			continue
		}
		t.Run(fmt.Sprint(m.number, " ", m.name), func(t *testing.T) {
			p := set
			p.deployment, p.t = d.within(t), t
			m.play(&p)
			if written := d.checkMustNots(t); strings.Contains(written, `"level":"ERROR"`) {
				t.Errorf("G1: the log tells of a fault of ours:\n%s", written)
			}
		})
	}
}

// conforming registers a client of the plan, which signs with an algorithm, its requests too if it signs them.
func (d *deployment) conforming(replica int, alg string, v variant) *flow.Client {
	d.t.Helper()
	s, k := d.server(replica), key(d.t, alg)
	edits := []func(map[string]any){recipient, func(m map[string]any) {
		m["redirect_uris"] = []string{suite, suiteQuery}
		m["token_endpoint_auth_signing_alg"] = alg
		if v.signs {
			m["require_signed_request_object"], m["request_object_signing_alg"] = true, alg
			m["authorization_signed_response_alg"] = alg
		}
		m["scope"] = "openid offline_access fdx:accountbasic:read fdx:transactions:read"
	}}
	var shown tls.Certificate
	if v.anyCertificate() {
		shown = d.vouched("a client that signs with " + alg)
		s = d.showing(replica, shown)
	}
	if v.certificateAuth {
		edits = append(edits, bySubject(shown), changes{"token_endpoint_auth_signing_alg": nil}.apply)
	}
	switch {
	case v.certificateBound:
		edits = append(edits, boundToCertificate)
	case v.certificateAuth: // or tokens would be bound to what the client shows anyway
		edits = append(edits, changes{"dpop_bound_access_tokens": true}.apply)
	}
	c, err := s.Register(d.t.Context(), s.RegisterRequest(metadata(k, edits...)), k, key(d.t, "ES256"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.wire.add(c.RegistrationToken)
	if v.anyCertificate() {
		d.shows[c.ID] = shown
	}
	c.CertificateAuth, c.CertificateBound = v.certificateAuth, v.certificateBound
	return c
}

// ask pushes a request of the plan, and holds the answer to what is true of every one.
func (p *plan) ask(c *flow.Client, edits ...func(url.Values)) *asking {
	p.t.Helper()
	return p.askWith(c, func(*flow.Request) {}, edits...)
}

// askWith pushes one of which more than the parameters may be bent.
func (p *plan) askWith(c *flow.Client, alter func(*flow.Request), edits ...func(url.Values)) *asking {
	p.t.Helper()
	as := func(r *flow.Request) {
		if p.signs {
			asObject(c, p.omits(c)...)(r)
		}
		if p.certificateBound && !p.certificateAuth { // the suite pushes without a certificate then
			r.URL = p.issuer + "/oauth2/par"
		}
		alter(r)
	}
	own := []func(url.Values){bend("redirect_uri", suite)}
	if p.signs {
		own = append(own, bend("response_mode", "jwt"))
	}
	a := askWith(p.t, c, as, append(own, edits...)...)
	answer := a.pushed.JSON()
	media := a.pushed.ResponseHeader.Get("Content-Type")
	if expiresIn := wholeSeconds(p.t, answer["expires_in"]); len(answer) != 2 || expiresIn != 90 || media != "application/json" {
		p.t.Errorf("PAR: %s, %s", media, a.pushed.ResponseBody)
	}
	p.random("request_uri", a.uri)
	return a
}

// push is a request of the plan to the push endpoint.
func (p *plan) push(c *flow.Client, params url.Values) *flow.Request {
	if p.signs {
		return c.SignedPushRequest(params, p.omits(c)...)
	}
	return c.PushRequest(params)
}

// omits is what the first client leaves out of its request objects, and the second one sends.
func (p *plan) omits(c *flow.Client) []flow.Edit {
	if c.ID == p.first.ID {
		return []flow.Edit{flow.DropHeader("typ"), flow.DropClaim("iat")}
	}
	return nil
}

// approved is the code of a request that alex has approved.
func (p *plan) approved(a *asking) string { p.t.Helper(); return p.approvedAt(a, a.url()) }

// approvedAt is that from a URL that may be bent; the answer is held to what is true of every one.
func (p *plan) approvedAt(a *asking, target string) string {
	p.t.Helper()
	p.browser.Exchanges = nil
	answer := a.answerAt(p.browser, target, flow.Approve)
	want := map[string]bool{"code": true, "iss": true}
	if a.params.Has("state") {
		want["state"] = true
	}
	got := map[string]bool{}
	for name := range answer {
		got[name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Error("the answer's parameters:", diff)
	}
	p.random("code", answer.Get("code"))
	return answer.Get("code")
}

// redeemed are the tokens for a code, held to what is true of all.
func (p *plan) redeemed(a *asking, code string) *flow.Token {
	p.t.Helper()
	token := a.redeem(code)
	p.checkToken(token, slices.Concat(tokenMembers, personMembers)...)
	p.random("refresh token", token.RefreshToken)
	if hasOpenID(token) {
		p.checkIdentity(a, token, false)
	}
	return token
}

// The members of every token response, and those of one for a person.
var (
	tokenMembers  = []string{"access_token", "token_type", "expires_in", "scope"}
	personMembers = []string{"refresh_token", "authorization_details", "grant_id"}
)

// hasOpenID tells whether an ID token must have come with a token.
func hasOpenID(token *flow.Token) bool { return slices.Contains(strings.Fields(token.Scope), "openid") }

// checkToken wants a token response of certain members; an ID token is one of them with the scope openid, and only then.
func (p *plan) checkToken(token *flow.Token, members ...string) {
	p.t.Helper()
	if hasOpenID(token) {
		members = append(members, "id_token")
	}
	e := token.Exchange
	checkAnswer(p.t, e)
	got := []string{}
	for name := range e.JSON() {
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(members)
	if diff := cmp.Diff(members, got); diff != "" {
		p.t.Error("token response:", diff)
	}
	if token.Type != p.tokenType() || token.ExpiresIn < 1 || token.ExpiresIn > 300 || e.ResponseHeader.Get("Content-Type") != "application/json" {
		p.t.Errorf("token response: %s", e.ResponseHeader)
	}
	p.random("access token", token.AccessToken)
}

// tokenType is that of the plan's tokens, which is also the scheme that they are used with.
func (v variant) tokenType() string {
	if v.certificateBound {
		return "Bearer"
	}
	return "DPoP"
}

// flow is a normal flow to the end.
func (p *plan) flow(c *flow.Client, edits ...func(url.Values)) family {
	p.t.Helper()
	a := p.ask(c, edits...)
	code := p.approved(a)
	f := family{a, code, p.redeemed(a, code)}
	p.opens(c, f.token)
	return f
}

// accounts is a request for the protected resource.
func (p *plan) accounts() *flow.Request { return accounts(p.first) }

// opens calls the resource with all that real clients send along.
func (p *plan) opens(c *flow.Client, token *flow.Token, edits ...flow.Edit) {
	p.t.Helper()
	const interaction = "5ad5d8f8-c1a5-4d0c-bd3b-9a0ee1b1f0c1"
	for _, accept := range []string{"application/json", "application/json;charset=UTF-8", "*/*"} {
		r := c.Present(p.accounts(), token.AccessToken, edits...).SetHeader("Accept", accept)
		r.SetHeader("x-fapi-interaction-id", interaction).SetHeader("x-fapi-auth-date", "Sun, 22 Nov 2026 10:00:00 GMT")
		r.SetHeader("x-fapi-customer-ip-address", "2001:db8::7")
		e := do(p.t, c.Server, r)
		outcome(p.t, e, "200")
		if id := e.ResponseHeader.Get("x-fapi-interaction-id"); id != interaction {
			p.t.Errorf("x-fapi-interaction-id %q", id)
		}
		date, err := http.ParseTime(e.ResponseHeader.Get("Date"))
		if err != nil || time.Since(date).Abs() > 5*time.Minute {
			p.t.Errorf("Date: %s %v", date, err)
		}
	}
}

// random wants a text that the suite takes for random: of at least 128 bits, with more than 96 bits of Shannon's entropy in
// its characters.
func (p *plan) random(what, text string) {
	p.t.Helper()
	counts, bits := map[rune]float64{}, 0.0
	for _, c := range text {
		counts[c]++
	}
	for _, n := range counts {
		bits -= n * math.Log2(n/float64(len(text)))
	}
	if 8*len(text) < 128 || bits <= 96 {
		p.t.Errorf("%s: %d characters, %.0f bits", what, len(text), bits)
	}
}

// pushRefused wants a push refused with 400 and an error, and nothing else.
func (p *plan) pushRefused(c *flow.Client, want string, edits ...func(url.Values)) {
	p.t.Helper()
	p.refused(c, p.push(c, conformable(edits...)), want)
}

// refused wants a push refused that differs by what it is about from one that is taken.
func (p *plan) refused(c *flow.Client, r *flow.Request, want string) {
	p.t.Helper()
	outcome(p.t, do(p.t, c.Server, r), want)
	outcome(p.t, do(p.t, c.Server, p.push(c, conformable())), "201")
}

// conformable are the parameters of a request of the plan, which edits may bend.
func conformable(edits ...func(url.Values)) url.Values {
	params := flow.NewPKCE().Parameters(suite, "fdx:accountbasic:read", "state")
	for _, edit := range edits {
		edit(params)
	}
	return params
}
