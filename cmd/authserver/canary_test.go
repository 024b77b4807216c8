package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authserver/internal/audit"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"
	"authserver/internal/store/storetest"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
)

// credentialMembers are the form members in which clients of OAuth send what is secret.
var credentialMembers = []string{"client_assertion", "client_secret", "password", "code", "refresh_token", "code_verifier", "token", "assertion",
	"request", "request_uri", "id_token_hint"}

// otherMembers are the other members that the server reads.
var otherMembers = []string{"client_id", "client_assertion_type", "grant_type", "scope", "resource", "username", "token_type_hint", "redirect_uri"}

// pageMembers are the other members of the pages' forms.
var pageMembers = []string{"interaction", "form_token", "accounts", "decision"}

// triedMethods are those that routes answer, and some that none does.
var triedMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"}

// cage is a deployment with secrets that are known, and what it answered.
type cage struct {
	*deployment
	client    *flow.Client
	neighbour *flow.Client      // whose registration strangers try to manage
	certified *flow.Client      // who has a certificate and nothing else
	told      string            // that certificate, as a proxy tells of it
	person    flow.Person       // who signs in
	session   string            // a cookie of the person's
	live      string            // an access token for good requests
	given     string            // one that is given back
	refresh   string            // a refresh token
	ofGrant   string            // an access token that came with it
	identity  string            // an ID token, likewise
	planted   []canary          // are sent everywhere
	watched   []canary          // are sent where they belong, if at all, and must not be found elsewhere
	answers   map[string]string // by route
}

// newCage deploys with secrets in every setting that is one.
func newCage(t *testing.T) *cage {
	encryption, password, authority := make([]byte, 32), rand.Text(), certificatetest.NewAuthority(t)
	_, _ = rand.Read(encryption)
	d := deploy(t, 0, func(s *settings) {
		s.InitialAccessToken, s.KeyEncryptionKey = initialToken, oauth.Secret(base64.StdEncoding.EncodeToString(encryption))
		s.RegistrationLimit, s.IntrospectionLimit = "0", "0"
		s.TrustedProxies, s.ClientCertHeader = "127.0.0.0/8", "Client-Cert"
		s.MTLSClientCAFile = writeText(t, "clients.pem", string(authority.PEM()))
	})
	database, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	database.User = url.UserPassword(database.User.Username(), password)
	d.url = database.String()
	d.start()
	const logoURI = "https://client.example/logo" // nobody asks there: the logo is kept already
	c := &cage{deployment: d, client: d.recipient(0, withOpenID), neighbour: d.recipient(0, changes{"logo_uri": logoURI}.apply), answers: map[string]string{}}
	logo := client.Logo{URI: logoURI, ContentType: "image/png", Body: []byte(pngOf(t, 1, 1)), At: d.clock.now()}
	if err := d.store.SaveLogo(t.Context(), c.neighbour.ID, logo); err != nil {
		t.Fatal(err)
	}
	c.neighbour.Server = c.client.Server // and its nonces
	shown := authority.Issue(t, company("certified"), everyName("certified"))
	c.certified = d.register(0, bySubject(shown), boundToCertificate)
	c.certified.CertificateAuth, c.certified.CertificateBound = true, true
	c.told = ":" + base64.StdEncoding.EncodeToString(shown.Certificate[0]) + ":"
	c.person = flow.Person{Username: "sam", Password: rand.Text() + rand.Text()}
	sam, err := person.New(c.person.Username, c.person.Password, d.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.AddPerson(t.Context(), sam); err != nil {
		t.Fatal(err)
	}
	access := tokenFor(t, c.client, nil)
	c.live, c.given = tokenFor(t, c.client, nil), tokenFor(t, c.client, nil)
	c.planted = []canary{
		jwtCanary(t, "client assertion", compact(t, c.client.Assertion())),
		jwtCanary(t, "DPoP proof", compact(t, c.client.Proof(http.MethodPost, d.issuer+"/oauth2/token"))),
		jwtCanary(t, "access token", access),
		jwtCanary(t, "forged access token", access+"AAAA"),
		jwtCanary(t, "assertion of an issuer", d.asserted(t, c.client.Server)),
		textCanary("registration access token", c.client.RegistrationToken),
		textCanary("initial access token", initialToken),
		textCanary("database password", password),
		textCanary("password", c.person.Password),
		binaryCanary("key-encryption key", encryption),
		privateCanary(t, "client's private key", c.client.Key),
		privateCanary(t, "private key for proofs", c.client.DPoPKey),
		privateCanary(t, "issuer's private key", d.issuerKey),
	}
	c.watched = append(d.signingKeyCanaries(),
		jwtCanary(t, "access token of good requests", c.live), jwtCanary(t, "access token that was given back", c.given))
	return c
}

// send sends a request, and once more when it needs a nonce, and keeps the answers.
func (c *cage) send(route string, r *flow.Request) *flow.Exchange {
	c.t.Helper()
	for again := false; ; again = true {
		e, err := c.client.Server.Send(c.t.Context(), r)
		if err != nil {
			c.t.Fatal(err)
		}
		checkAnswer(c.t, e)
		c.keep(route, e)
		if again || e.ErrorCode() != "use_dpop_nonce" {
			return e
		}
	}
}

// onPurpose is what the answers of a route give away to the one whom it is for, and no other route's. That no refusal holds
// a token is checkAnswer's to see.
var onPurpose = map[string]*regexp.Regexp{
	"/fdx/v6/register/{client_id}": regexp.MustCompile(`"registration_access_token":"[^"]+"`), // RFC 7592 §3
	"/oauth2/par":                  regexp.MustCompile(`"request_uri":"[^"]+"`),
	"/oauth2/authorize":            regexp.MustCompile(`Set-Cookie:\[interaction-[\w-]{16}=[\w-]{43};`),
	"/login":                       formToken,
	"/login/attempt":               regexp.MustCompile(`Set-Cookie:\[session=[\w-]{43};|` + formToken.String()),
	"/accounts":                    formToken,
	"/accounts/choice":             formToken,
	"/consent":                     formToken,
	"/consent/decision":            regexp.MustCompile(`Location:\[` + regexp.QuoteMeta(callback) + `\?(code=[\w-]{43}&|response=[\w.-]+)|name="response" value="[\w.-]+"`),
	"/connected":                   regexp.MustCompile(`Set-Cookie:\[own-login=[\w-]{43};|` + formToken.String()),
	"/connected/attempt":           regexp.MustCompile(`Set-Cookie:\[session=[\w-]{43};|` + formToken.String()),
	"/oauth2/logout":               formToken,
	"/oauth2/token":                regexp.MustCompile(`"(access|refresh|id)_token":"[^"]+"`),
}

var formToken = regexp.MustCompile(`name="form_token" value="[\w-]{43}"`)

// keep keeps an answer, without what it gives away on purpose.
func (c *cage) keep(route string, e *flow.Exchange) {
	text, sent := html.UnescapeString(fmt.Sprintln(e.ResponseBody, e.ResponseHeader)), e.Form()
	if given := onPurpose[route]; given != nil {
		text = given.ReplaceAllString(text, "")
	}
	switch route {
	case "/oauth2/authorize": // what was posted goes on in the URL
		for _, name := range []string{"client_id", "request_uri"} {
			text = strings.ReplaceAll(text, url.Values{name: {sent.Get(name)}}.Encode(), "")
		}
	case "/login/attempt", "/connected/attempt": // what was typed stands there again
		text = strings.ReplaceAll(text, fmt.Sprintf(`name="username" value="%s"`, sent.Get("username")), "")
	}
	c.answers["answers of "+route] += text
}

// turns makes good requests to a route, again and again.
type turns func() []*flow.Request

// same are requests that are good every time.
func same(all ...*flow.Request) turns { return func() []*flow.Request { return all } }

// good are requests that each route answers as the client hopes.
func (c *cage) good() map[string]turns {
	s, manage := c.client.Server, c.client.RegistrationURI
	old := c.client.TokenRequest(nil)
	old.URL, old.Proof = c.issuer+"/oauth/token", c.client.Proof(http.MethodPost, c.issuer+"/oauth/token")
	get := func(path string) turns { return same(&flow.Request{Method: http.MethodGet, URL: c.issuer + path}) }
	all := map[string]turns{
		"/oauth2/token": func() []*flow.Request {
			return []*flow.Request{c.client.TokenRequest(nil), c.client.RefreshRequest(c.refresh, nil), assertionRequest(s, c.asserted(c.t, s)),
				c.certified.TokenRequest(nil).SetHeader("Client-Cert", c.told)}
		},
		"/oauth/token":       same(old),
		"/oauth2/introspect": same(c.certified.IntrospectRequest("unknown").SetHeader("Client-Cert", c.told), c.client.IntrospectRequest(c.live), c.client.IntrospectRequest(c.live+"AAAA"), c.client.IntrospectRequest(c.refresh)),
		"/oauth2/revoke":     same(c.client.RevokeRequest(c.given)),
		"/oauth2/jwks":       get("/oauth2/jwks"),
		"/fdx/v6/register":   same(s.RegisterRequest(metadata(c.client.Key)).SetHeader("Authorization", "Bearer "+initialToken)),
		"/fdx/v6/register/{client_id}": same(
			c.client.ManageRequest(http.MethodGet, nil), c.client.ManageRequest(http.MethodPut, metadata(c.client.Key, recipient, withOpenID)),
			c.client.Present(&flow.Request{Method: http.MethodGet, URL: manage}, c.live),
		),
		"/.well-known/openid-configuration":       get("/.well-known/openid-configuration"),
		"/.well-known/oauth-authorization-server": get("/.well-known/oauth-authorization-server"),
		"/errors/{reason}":                        get("/errors/assertion_replayed"),
		"/demo/accounts":                          same(c.client.Present(&flow.Request{Method: http.MethodGet, URL: c.issuer + "/demo/accounts"}, c.live)),
	}
	maps.Copy(all, c.goodOfPeople())
	maps.Copy(all, c.goodOfConsents())
	maps.Copy(all, c.goodOfConnected())
	return all
}

// laden are copies of a good request that carry a secret besides. The last of them is as good as the request itself.
func laden(good *flow.Request, secret string) []*flow.Request {
	carry := func() *flow.Request {
		r := *good
		r.Header = http.Header{"User-Agent": {secret}, "Origin": {secret}, "Referer": {secret}, "X-Api-Key": {secret},
			"X-Forwarded-For": {secret}, "Forwarded": {"for=" + secret}, "X-Fapi-Interaction-Id": {secret}, "X-Fapi-Auth-Date": {secret}, "Traceparent": {secret}}
		maps.Copy(r.Header, good.Header)
		r.Header["Cookie"] = []string{strings.Join(append(good.Header["Cookie"], "s="+secret), "; ")}
		return &r
	}
	var all []*flow.Request
	if good.Form != nil {
		names := slices.Concat(credentialMembers[1:], otherMembers) // the client asserts by itself
		if good.Form.Has("form_token") {                            // a page's form is refused for any member that the page has not
			names = append(slices.Sorted(maps.Keys(good.Form)), "client_secret")
		}
		for _, name := range names {
			r := carry()
			r.Form = maps.Clone(good.Form)
			r.Form.Set(name, secret)
			all = append(all, r)
		}
	}
	if good.JSON != nil {
		for _, members := range [][]string{{"client_secret"}, {"registration_access_token"}, {"password", "code", "token", "private_key"}} {
			r, more := carry(), maps.Clone(good.JSON.(map[string]any))
			for _, name := range members {
				more[name] = secret
			}
			r.JSON = more
			all = append(all, r)
		}
	}
	return append(all, carry())
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// bad are requests of a stranger, who puts a secret into every place of a request.
func (c *cage) bad(route, method, secret string) []*flow.Request {
	form := url.Values{}
	for _, name := range slices.Concat(credentialMembers, otherMembers, pageMembers) {
		form.Set(name, secret)
	}
	plain := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {secret}, "token": {secret},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	document := map[string]any{"client_secret": secret, "client_name": secret, "scope": secret, "software_statement": secret, "jwks_uri": secret,
		"redirect_uris": []string{secret}, "jwks": map[string]any{"keys": []any{jwk(c.client.Key, map[string]any{"d": secret})}}}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.client.ID+":"+secret))
	target := c.issuer + parameter.ReplaceAllString(route, c.neighbour.ID)
	odd := c.issuer + "/" + url.PathEscape(secret)
	if parameter.MatchString(route) {
		odd = c.issuer + parameter.ReplaceAllLiteralString(route, url.PathEscape(secret))
	}
	proof := flow.Literal(secret)
	return []*flow.Request{
		{Method: method, URL: target, Form: plain, Proof: proof},
		(&flow.Request{Method: method, URL: target, JSON: document, Proof: proof}).SetHeader("Authorization", "Bearer "+secret),
		(&flow.Request{Method: method, URL: target, Form: form, Proof: proof}).SetHeader("Authorization", "DPoP "+secret),
		(&flow.Request{Method: method, URL: target + "?access_token=" + url.QueryEscape(secret) + "&" + form.Encode()}).SetHeader("Authorization", secret),
		(&flow.Request{Method: method, URL: odd, Form: plain}).SetHeader("Authorization", basic),
		(&flow.Request{Method: method, URL: target, Form: plain}).SetHeader("Client-Cert", secret),
		(&flow.Request{Method: method, URL: target, Form: plain}).SetHeader("Client-Cert", ":"+base64.StdEncoding.EncodeToString([]byte(secret))+":"),
		(&flow.Request{Method: method, URL: target, Form: plain}).SetHeader("X-Forwarded-Client-Cert", "Cert="+secret),
		(&flow.Request{Method: method, URL: target, Form: url.Values{"grant_type": {token.JWTBearer}, "assertion": {secret}}}),
	}
}

// tryAsStranger sends the bad requests with each secret. A method that the route does not answer is refused before anything
// is read, so that one secret is enough there; it is the n-th.
func (c *cage) tryAsStranger(route, method string, n int) {
	for i := range c.planted {
		bad := c.bad(route, method, c.planted[(n+i)%len(c.planted)].text)
		first := c.send(route, bad[0])
		for _, r := range bad[1:] {
			_ = c.send(route, r)
		}
		if first.Status == http.StatusMethodNotAllowed {
			return
		}
	}
}

// Secrets are sent through every route of the table, with requests that are answered and with requests that are refused,
// and turn up nowhere: not in a log, an audit record or a metric, not in an answer, not in the database (G4).
func TestSecretsTurnUpNowhere(t *testing.T) {
	t.Parallel()
	c := newCage(t)
	logged, sent := strings.Count(c.logs.String(), "\n"), c.wire.sent
	c.walk()
	good := c.good()
	for _, route := range c.replicas[0].server.Paths() {
		if good[route] == nil {
			t.Errorf("this test knows no good request for %s", route)
			continue
		}
		for _, r := range good[route]() {
			e := c.send(route, r)
			onward := isPage(e) && e.Status == http.StatusSeeOther && !strings.Contains(e.ResponseHeader.Get("Location"), "error=")
			if e.Status >= 300 && !onward {
				t.Errorf("a good request: %s %s: %s %s", r.Method, route, e.Outcome(), e.ErrorDescription())
			}
		}
		for _, secret := range c.planted {
			for _, r := range good[route]() {
				for _, r := range laden(r, secret.text) {
					_ = c.send(route, r)
				}
			}
		}
		for n, method := range triedMethods {
			c.tryAsStranger(route, method, n)
		}
		_ = c.checkMustNots(t)
		c.wire.forget() // of thousands, each would be looked for in everything
	}
	checkRecords(t, c.logs.String())
	sent = c.wire.sent - sent
	if lines := strings.Count(c.logs.String(), "\n") - logged; lines != sent || sent == 0 {
		t.Errorf("%d records for %d requests", lines, sent)
	}

	published := key(t, "ES256")
	c.watched = append(c.watched, privateCanary(t, "private key that a client publishes", published))
	private, err := published.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	careless, host := c.publisher()
	host.now(publishing(private, careless.Key.PublicJWK()))
	c.logsWith(func() { c.proven(careless) }, "publishes a private or symmetric key")

	places := c.places()
	maps.Copy(places, c.answers)
	for _, leak := range leaks(slices.Concat(c.planted, c.watched), places) {
		t.Error(leak)
	}
	t.Run("what leaks is found", c.leakIsFound)
}

// leakIsFound puts secrets where they must not be, and wants the search to see each. What it writes it takes back.
func (c *cage) leakIsFound(t *testing.T) {
	logged, audited := len(c.logs.String()), len(c.trail.String())
	defer func() { c.logs.cut(logged); c.trail.cut(audited) }()
	for _, secret := range slices.Concat(c.planted, c.watched) {
		for spelling, text := range map[string]string{
			"as it is": secret.text, "in base64": base64.StdEncoding.EncodeToString([]byte(secret.text)), "in hexadecimal": hex.EncodeToString(secret.octets),
			"behind others in base64url": base64.URLEncoding.EncodeToString(slices.Concat([]byte("x"), secret.octets, []byte("yz"))),
		} {
			if diff := cmp.Diff([]string{secret.name + " in x"}, leaks([]canary{secret}, map[string]string{"x": "before " + text + " after"})); diff != "" {
				t.Errorf("the %s %s: %s", secret.name, spelling, diff)
			}
		}
	}
	secret := c.planted[0]
	c.replicas[0].log.Info("a leak", "cause", secret.text)
	c.replicas[0].server.Record.Audit(audit.Record{Event: audit.TokenIssued, Scope: hex.EncodeToString(secret.octets)})
	storetest.Execute(t, c.url, fmt.Sprintf(`INSERT INTO spent (slot, key) VALUES (0, '\x%x');
		INSERT INTO person (username, password_hash, created_at) VALUES ('a person', '%s', now())`, secret.octets, secret.text))
	var want []string
	for _, place := range []string{"the audit records", "the database's person.password_hash", "the database's spent.key", "the database's spent_0.key", "the log"} {
		want = append(want, secret.name+" in "+place)
	}
	if diff := cmp.Diff(want, leaks(slices.Concat(c.planted, c.watched), c.places())); diff != "" {
		t.Errorf("leaks wanted (-) and found (+):\n%s", diff)
	}
}
