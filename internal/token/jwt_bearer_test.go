package token_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/client"
	"authserver/internal/flow"
	trust "authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/token"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const gateway = "gateway-1"

// book is a store of at most one issuer.
type book struct {
	issuer trust.Issuer
	names  []string // of clients, beside c1

	meanwhile func() // what happens once between the look at the issuer and the end of the request
}

func (b *book) FindIssuer(_ context.Context, name string) (trust.Issuer, bool, error) {
	return b.issuer, b.issuer.Name != "" && name == b.issuer.Name, nil
}

func (b *book) TrustsIssuers(context.Context) (bool, error) { return b.issuer.Name != "", nil }

func (b *book) NamesClient(_ context.Context, names ...string) (bool, error) {
	if happens := b.meanwhile; happens != nil {
		b.meanwhile = nil
		happens()
	}
	return slices.ContainsFunc(names, func(n string) bool { return n == "c1" || slices.Contains(b.names, n) }), nil
}

// vouched gives the bench a trusted issuer with the same key as its client, and the client the right to its assertions.
func vouched(edit func(*trust.Issuer)) func(*bench) {
	return func(b *bench) {
		b.registry.client.Metadata.GrantTypes = append(b.registry.client.Metadata.GrantTypes, token.JWTBearer)
		i := trust.New(gateway)
		jwks, err := json.Marshal(map[string]any{"keys": []any{clientKey().PublicJWK()}})
		if err != nil {
			b.t.Fatal(err)
		}
		i.JWKS, i.Clients, i.Scopes = jwks, []string{"c1"}, oauth.Scope{"a:read", "b:read", "z:read"}
		if edit != nil {
			edit(&i)
		}
		i.Version = 3
		b.book = &book{issuer: i}
		b.registry.book = b.book
		now := func() time.Time { return noon }
		b.endpoint.Assertions = &trust.Assertions{Audiences: []string{issuer}, Store: b.book,
			KeySets: client.NewKeySets(client.NewFetcher(client.Vetting{}), nil, nil, slog.New(slog.DiscardHandler), now)}
	}
}

// seed002 is the shape of the guide of seed 002: an assertion alone, and a Bearer token.
func seed002(i *trust.Issuer) { i.RequireClientAuthentication, i.RequireBinding = false, false }

// asserted is an assertion of the gateway, as the guide of seed 002 makes it.
func (b *bench) asserted(edits ...flow.Edit) string {
	b.t.Helper()
	as := &flow.Client{Server: b.Server, ID: gateway, Key: clientKey()}
	compact, err := as.Assertion(append([]flow.Edit{flow.DropHeader("typ"), flow.DropClaim("jti")}, edits...)...)()
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

// alone is the request of the guide: an assertion, and nothing beside it. Pairs change it, as those of redeem.
func (b *bench) alone(pairs ...string) *flow.Request {
	r := b.vouchedFor(pairs...)
	r.Assertion, r.Proof = nil, nil
	delete(r.Form, "client_id")
	return edited(r, pairs)
}

// vouchedFor is a request with an assertion, by a client that proves itself and its key.
func (b *bench) vouchedFor(pairs ...string) *flow.Request {
	return edited(b.TokenRequest(map[string][]string{"grant_type": {token.JWTBearer}, "assertion": {b.asserted()}}), pairs)
}

// TestAssertionAlone (seed 002, JB-06): where the record says so, an assertion alone gives a Bearer token of 15 minutes in
// the name of whom it speaks for, as a form and as a JSON body.
func TestAssertionAlone(t *testing.T) {
	for name, build := range map[string]request{
		"form": func(b *bench) *flow.Request { return b.alone() },
		"JSON": func(b *bench) *flow.Request {
			return &flow.Request{Method: http.MethodPost, URL: issuer + "/oauth2/token",
				JSON: map[string]string{"grant_type": token.JWTBearer, "assertion": b.asserted()}}
		},
		"with the client's id": func(b *bench) *flow.Request { return b.alone("client_id", "c1") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, vouched(seed002))
			answer, says := b.granted(build(b))
			want := map[string]any{"access_token": answer["access_token"], "token_type": "Bearer", "expires_in": json.Number("900"),
				"scope": "a:read b:read"}
			if diff := cmp.Diff(want, answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			wantToken := accesstoken.Token{Issuer: issuer, Subject: gateway, Audience: accesstoken.Audience{api}, IssuedAt: noon.Unix(),
				ExpiresAt: noon.Unix() + 900, ClientID: "c1", Scope: "a:read b:read"}
			if diff := cmp.Diff(wantToken, says, cmpopts.IgnoreFields(accesstoken.Token{}, "ID")); diff != "" {
				t.Errorf("token (-want +got):\n%s", diff)
			}
			if kinds := b.kinds(); !slices.Equal(kinds, []replay.Kind{replay.AssertionGrant}) || b.registry.spends[0].ClientVersion != 7 {
				t.Errorf("spent %v at version %d", kinds, b.registry.spends[0].ClientVersion)
			}
			wantNotes := map[oauth.Field]string{
				oauth.FieldClient: "c1", oauth.FieldGrant: token.JWTBearer, oauth.FieldScope: "a:read b:read", oauth.FieldToken: says.ID,
				oauth.FieldTokenType: "Bearer", oauth.FieldEvent: "token.issued", oauth.FieldSubject: gateway, oauth.FieldIssuer: gateway,
				oauth.FieldActor: "issuer",
			}
			if diff := cmp.Diff(wantNotes, b.notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// kinds are those of what the last request used up.
func (b *bench) kinds() (kinds []replay.Kind) {
	for _, use := range b.registry.spends[len(b.registry.spends)-1].Uses {
		kinds = append(kinds, use.Kind)
	}
	return kinds
}

// TestAssertionOfAProvenClient (JB-05): by the defaults of a record the client proves itself and its key, and all three that
// it sent are used up.
func TestAssertionOfAProvenClient(t *testing.T) {
	b := newBench(t, vouched(nil))
	answer, says := b.granted(b.vouchedFor())
	if answer["token_type"] != "DPoP" || says.Confirmation.JKT != b.DPoPKey.Thumbprint() || says.Subject != gateway || says.ClientID != "c1" {
		t.Errorf("%v, %+v", answer, says)
	}
	if want := []replay.Kind{replay.Assertion, replay.AssertionGrant, replay.Proof}; !slices.Equal(b.kinds(), want) {
		t.Errorf("spent %v, want %v", b.kinds(), want)
	}
	for _, name := range []string{"refresh_token", "id_token", "grant_id", "authorization_details"} {
		if value, present := answer[name]; present {
			t.Errorf("%s: %v", name, value)
		}
	}
}

// TestBinding (TOK-05): whoever sends a proof gets a bound token; who may leave it out, the record says, and what the client
// registered for itself goes before that.
func TestBinding(t *testing.T) {
	alone := func(i *trust.Issuer) { i.RequireClientAuthentication = false }
	bearer := func(i *trust.Issuer) { i.RequireBinding = false }
	registered := func(b *bench) { b.registry.client.Metadata.DPoPBoundAccessTokens = true }
	unbound := func(b *bench) { b.registry.client.Unbound = true }
	withProof := func(b *bench) *flow.Request {
		r := b.alone()
		r.Proof = b.Proof(r.Method, r.URL)
		return r
	}
	withoutProof := func(b *bench) *flow.Request {
		r := b.vouchedFor()
		r.Proof = nil
		return r
	}
	for name, test := range map[string]struct {
		record  func(*trust.Issuer)
		client  func(*bench)
		request request
		want    string // the token's type; "": ProofMissing
	}{
		"by the defaults":                        {nil, nil, withoutProof, ""},
		"binding demanded, of one that is alone": {alone, nil, func(b *bench) *flow.Request { return b.alone() }, ""},
		"binding demanded, and sent":             {alone, nil, withProof, "DPoP"},
		"not demanded, and sent":                 {seed002, nil, withProof, "DPoP"},
		"not demanded, and not sent":             {bearer, nil, withoutProof, "Bearer"},
		"the client registered to be bound":      {seed002, registered, func(b *bench) *flow.Request { return b.alone() }, ""},
		"unbound is for the client's own name":   {alone, unbound, func(b *bench) *flow.Request { return b.alone() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			edits := []func(*bench){vouched(test.record)}
			if test.client != nil {
				edits = append(edits, test.client)
			}
			b := newBench(t, edits...)
			if test.want == "" {
				b.refused(test.request(b), oauth.ProofMissing)
				b.spentNothing()
				return
			}
			if answer, _ := b.granted(test.request(b)); answer["token_type"] != test.want {
				t.Errorf("%v", answer["token_type"])
			}
		})
	}
}

func (b *bench) spentNothing() {
	b.t.Helper()
	if len(b.registry.spends) != 0 {
		b.t.Errorf("%d spends", len(b.registry.spends))
	}
}

// TestAssertionRefused: what no record lets an assertion give. Nothing is used up.
func TestAssertionRefused(t *testing.T) {
	alone := func(pairs ...string) request { return func(b *bench) *flow.Request { return b.alone(pairs...) } }
	saying := func(edits ...flow.Edit) request {
		return func(b *bench) *flow.Request { return b.alone("assertion", b.asserted(edits...)) }
	}
	later := func(s int64) flow.Edit { return flow.SetClaim("exp", noon.Unix()+s) }
	for name, test := range map[string]struct {
		record  func(*trust.Issuer)
		request request
		want    oauth.Reason
	}{
		"no assertion":      {seed002, alone("assertion", ""), oauth.ParameterMissing},
		"two assertions":    {seed002, alone("assertion", "a\nb"), oauth.ParameterRepeated},
		"CC-06 iss unknown": {seed002, saying(flow.SetClaim("iss", "nobody")), oauth.AssertionGrantNotProven},
		"CC-06 not trusted for the client": {func(i *trust.Issuer) { i.Clients = []string{"c2"} },
			func(b *bench) *flow.Request { return b.vouchedFor() }, oauth.AssertionGrantClient},
		"CC-06 another client's id":        {seed002, alone("client_id", "c2"), oauth.AssertionGrantClient},
		"CC-08 exp 16 min ahead":           {seed002, saying(later(960)), oauth.AssertionGrantLifetime},
		"CC-09 no kid":                     {seed002, saying(flow.DropHeader("kid")), oauth.AssertionGrantKid},
		"CC-10 HS256":                      {seed002, saying(flow.SetHeader("alg", "HS256")), oauth.AssertionGrantAlg},
		"CC-11 a person":                   {seed002, saying(flow.SetClaim("sub", "_alex")), oauth.AssertionGrantSubject},
		"CC-13 the client for itself":      {seed002, saying(flow.SetClaim("iss", "c1"), flow.SetClaim("sub", "anybody")), oauth.AssertionGrantNotProven},
		"CC-13 an arbitrary subject":       {seed002, saying(flow.SetClaim("sub", "anybody")), oauth.AssertionGrantSubject},
		"JB-07 a request object":           {seed002, saying(flow.SetHeader("typ", "oauth-authz-req+jwt")), oauth.AssertionGrantTyp},
		"the client is gone":               {func(i *trust.Issuer) { seed002(i); i.Clients = []string{"c9"} }, alone(), oauth.AssertionGrantClient},
		"a scope beyond the issuer's":      {seed002, alone("scope", "a:read c:read"), oauth.ScopeNotRegistered},
		"a scope beyond the client's":      {seed002, alone("scope", "a:read z:read"), oauth.ScopeNotRegistered},
		"openid":                           {seed002, alone("scope", "openid"), oauth.ScopeNotRegistered},
		"a scope that is none":             {seed002, alone("scope", `a"`), oauth.ScopeMalformed},
		"nothing in common":                {func(i *trust.Issuer) { seed002(i); i.Scopes = oauth.Scope{"z:read"} }, alone(), oauth.ScopeEmpty},
		"CC-14 an unknown resource":        {seed002, alone("resource", "https://other.example"), oauth.ResourceRefused},
		"CC-11 details, which people give": {seed002, alone("authorization_details", "[]"), oauth.DetailsBeyondGrant},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, vouched(test.record))
			b.refused(test.request(b), test.want)
			b.spentNothing()
		})
	}
}

// TestNarrower: less than there is may be asked for.
func TestNarrower(t *testing.T) {
	b := newBench(t, vouched(func(i *trust.Issuer) { seed002(i); i.TokenLifetime = time.Minute }))
	answer, says := b.granted(b.alone("scope", "b:read", "resource", files))
	if answer["scope"] != "b:read" || !slices.Equal(says.Audience, []string{files}) || answer["expires_in"] != json.Number("60") {
		t.Errorf("%v for %v", answer, says.Audience)
	}
	b.registry.client.TokenLifetime = 2 * time.Minute // of what it gets in its own name
	if answer, _ := b.granted(b.alone()); answer["expires_in"] != json.Number("60") {
		t.Errorf("lives %v", answer["expires_in"])
	}
}

// TestRecordOpensNoPersonsData (CC-11): a scope that is a person's, or for registration, comes out of no assertion, whatever
// stands in the records of issuer and client; and none comes out twice.
func TestRecordOpensNoPersonsData(t *testing.T) {
	never := []string{"openid", "offline_access", "fdx:accountbasic:read", "client.create", "client.read"}
	b := newBench(t, vouched(func(i *trust.Issuer) { seed002(i); i.Scopes = append(never, "a:read", "a:read") }))
	b.registry.client.Metadata.Scope = strings.Join(never, " ") + " a:read"
	if answer, says := b.granted(b.alone()); answer["scope"] != "a:read" || says.Scope != "a:read" {
		t.Errorf("scope %v, %s", answer["scope"], says.Scope)
	}
	for _, scope := range never {
		b.refused(b.alone("scope", "a:read "+scope), oauth.ScopeNotRegistered)
	}
}

// TestClientAuthenticationIsJudged (JB-05): what is sent to authenticate is never passed over, also where a record asks for
// none; and where it asks, that is told only to who has a good assertion.
func TestClientAuthenticationIsJudged(t *testing.T) {
	other, err := flow.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*bench, *flow.Request)) request {
		return func(b *bench) *flow.Request {
			r := b.alone()
			change(b, r)
			return r
		}
	}
	for name, test := range map[string]struct {
		record  func(*trust.Issuer)
		request request
		want    oauth.Reason
	}{
		"by another key": {seed002, with(func(b *bench, r *flow.Request) { r.Assertion = b.Assertion(flow.SignWith(other)) }), oauth.ClientNotProven},
		"by another client": {seed002, with(func(b *bench, r *flow.Request) {
			r.Assertion = b.Assertion(flow.SetClaim("iss", "c2"), flow.SetClaim("sub", "c2"))
		}), oauth.ClientNotProven},
		"the grant's own assertion": {seed002, with(func(b *bench, r *flow.Request) { r.Assertion = flow.Literal(b.asserted()) }), oauth.AssertionID},
		"that, with a jti": {seed002, with(func(b *bench, r *flow.Request) {
			r.Assertion = flow.Literal(b.asserted(flow.SetClaim("jti", "j")))
		}), oauth.ClientNotProven},
		"garbage":             {seed002, with(func(_ *bench, r *flow.Request) { r.Assertion = flow.Literal("x") }), oauth.AssertionMalformed},
		"its type alone":      {seed002, with(func(_ *bench, r *flow.Request) { r.Form.Set("client_assertion_type", clientAssertionType) }), oauth.ClientAuthMissing},
		"a shared secret":     {seed002, with(func(_ *bench, r *flow.Request) { r.Form.Set("client_secret", "s") }), oauth.ClientAuthMethod},
		"Basic":               {seed002, with(func(_ *bench, r *flow.Request) { r.SetHeader("Authorization", "Basic eDp5") }), oauth.ClientAuthMethod},
		"none, where it must": {nil, func(b *bench) *flow.Request { return b.alone() }, oauth.ClientAuthMissing},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, vouched(test.record))
			e := b.send(test.request(b))
			if b.refusal == nil || b.refusal.Reason != test.want || e.Status != http.StatusUnauthorized {
				t.Errorf("%s: %v, want %s", e.Outcome(), b.refusal, test.want)
			}
			b.spentNothing()
		})
	}
	b := newBench(t, vouched(nil))
	b.refused(b.alone("assertion", b.asserted(flow.SignWith(other))), oauth.AssertionGrantNotProven)
}

const clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// TestClientAssertionIsNoGrant (JB-07): where issuer and client share key and name, an assertion for the one is still none
// for the other.
func TestClientAssertionIsNoGrant(t *testing.T) {
	b := newBench(t, vouched(func(i *trust.Issuer) { seed002(i); i.Name = "c1" }))
	compact, err := b.Assertion()()
	if err != nil {
		t.Fatal(err)
	}
	b.refused(b.alone("assertion", compact), oauth.AssertionGrantSubject)
	b.spentNothing()
}

// TestNotOffered (JB-01): where no issuer is trusted there is no such grant.
func TestNotOffered(t *testing.T) {
	b := newBench(t, vouched(func(i *trust.Issuer) { *i = trust.Issuer{} }))
	b.refused(b.vouchedFor(), oauth.GrantTypeUnsupported)
	if e := b.send(b.alone()); e.Status != http.StatusUnauthorized || b.refusal.Reason != oauth.ClientAuthMissing {
		t.Errorf("%s: %v", e.Outcome(), b.refusal)
	}
	b.spentNothing()
}

// TestGrantNotRegistered (TOK-01): the client that gets the token must be registered for the grant, whether it proves itself
// or not.
func TestGrantNotRegistered(t *testing.T) {
	for name, build := range map[string]request{
		"alone":  func(b *bench) *flow.Request { return b.alone() },
		"proven": func(b *bench) *flow.Request { return b.vouchedFor() },
	} {
		b := newBench(t, vouched(seed002), func(b *bench) { b.registry.client.Metadata.GrantTypes = []string{"client_credentials"} })
		b.refused(build(b), oauth.GrantTypeNotRegistered)
		if !strings.Contains(b.refusal.Description, token.JWTBearer) {
			t.Errorf("%s: %s", name, b.refusal.Description)
		}
		b.spentNothing()
	}
}

// TestOtherGrantsNeverAlone: an assertion beside another grant is no client authentication.
func TestOtherGrantsNeverAlone(t *testing.T) {
	for _, grantType := range []string{"client_credentials", "authorization_code", "refresh_token", "", "password"} {
		b := newBench(t, vouched(seed002))
		if e := b.send(b.alone("grant_type", grantType)); e.Status != http.StatusUnauthorized || b.refusal.Reason != oauth.ClientAuthMissing {
			t.Errorf("%q: %s %v", grantType, e.Outcome(), b.refusal)
		}
		b.spentNothing()
	}
}

// TestAssertionReplayed (CC-07, CA-56): the second use of an assertion is invalid_grant, whatever else is new.
func TestAssertionReplayed(t *testing.T) {
	b := newBench(t, vouched(seed002), func(b *bench) { b.registry.once = map[replay.Use]bool{} })
	once := b.asserted()
	b.granted(b.alone("assertion", once))
	b.refused(b.alone("assertion", once), oauth.AssertionGrantReplayed)
	b.refused(b.vouchedFor("assertion", once), oauth.AssertionGrantReplayed)
	b.granted(b.alone())
}

// TestClientChangedMeanwhile: the client's record may be one of before; the whole step is then run again on the one of now.
func TestClientChangedMeanwhile(t *testing.T) {
	b := newBench(t, vouched(seed002))
	b.granted(b.alone())
	b.registry.client.Version, b.registry.client.Metadata.Scope = 8, "b:read"
	answer, _ := b.granted(b.alone())
	if answer["scope"] != "b:read" || len(b.registry.spends) != 3 {
		t.Errorf("scope %v after %d spends", answer["scope"], len(b.registry.spends))
	}
	b.registry.client.Version, b.registry.client.Metadata.GrantTypes = 9, []string{"refresh_token"}
	b.refused(b.alone(), oauth.GrantTypeNotRegistered)
}

// TestIssuerChangedMeanwhile: so it is with the record of the issuer. One that is removed while its assertion is judged
// vouches for nothing any more.
func TestIssuerChangedMeanwhile(t *testing.T) {
	for name, build := range map[string]request{
		"alone":  func(b *bench) *flow.Request { return b.alone() },
		"proven": func(b *bench) *flow.Request { return b.vouchedFor() },
	} {
		b := newBench(t, vouched(seed002))
		b.book.meanwhile = func() { b.book.issuer = trust.Issuer{Name: "another", Version: 4} }
		b.refused(build(b), oauth.AssertionGrantNotProven)
		if len(b.registry.spends) != 1 || b.registry.spends[0].Voucher != (replay.Voucher{Issuer: gateway, Version: 3}) {
			t.Errorf("%s: %+v", name, b.registry.spends)
		}
		b = newBench(t, vouched(seed002))
		b.book.meanwhile = func() { b.book.issuer.Version, b.book.issuer.Scopes = 4, oauth.Scope{"b:read"} }
		if answer, _ := b.granted(build(b)); answer["scope"] != "b:read" {
			t.Errorf("%s: scope %v by a record of before", name, answer["scope"])
		}
	}
}

// TestAssertionOverMutualTLS (JB-05): a certificate binds the token of an assertion, and proves the client where it is
// registered for that; one that is sent with a client_id and proves nothing is refused.
func TestAssertionOverMutualTLS(t *testing.T) {
	unauthenticated := func(i *trust.Issuer) { i.RequireClientAuthentication = false }
	t.Run("alone", func(t *testing.T) {
		w := newWire(t, vouched(unauthenticated))
		shown := w.root.Issue(t, certificatetest.Named("anybody"))
		w.showing(&shown)
		w.boundTo("alone", w.alone(), "x5t#S256", shown)
	})
	t.Run("proven", func(t *testing.T) {
		w := newWire(t, vouched(nil))
		shown := w.root.Issue(t, certificatetest.Named("kim"))
		w.register(client.TLSClientAuth, shown)
		w.showing(&shown)
		w.boundTo("proven", w.alone("client_id", "c1"), "x5t#S256", shown)
		w.registry.spends = nil
		w.refusedOver(w.alone(), oauth.ClientAuthMissing)
	})
	t.Run("not proven", func(t *testing.T) {
		w := newWire(t, vouched(unauthenticated))
		shown := w.root.Issue(t, certificatetest.Named("sam"))
		w.register(client.TLSClientAuth, shown)
		w.showing(&shown)
		w.refusedOver(w.alone("client_id", "c1"), oauth.ClientNotProven)
	})
}
