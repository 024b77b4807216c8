package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/fdx"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// lasting asks for a consent that has a refresh token.
func lasting(p url.Values) {
	p.Set("authorization_details", `[{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,
		"resources":[{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_BASIC"]}]}}]`)
}

// sharing is a consent of alex's.
type sharing struct {
	family
	id string
}

// share has alex share data with a client.
func (d *deployment) share(c *flow.Client) sharing {
	d.t.Helper()
	return d.shareIn(flow.NewBrowser(c.Server), c)
}

// shareIn does so in a browser where somebody may be signed in.
func (d *deployment) shareIn(b *flow.Browser, c *flow.Client) sharing {
	d.t.Helper()
	f := d.family(c, b, lasting)
	id, _ := said(d.t, f.token)["grant_id"].(string)
	return sharing{f, id}
}

// What can be asked about a consent: a method, and what stands behind the consent's own path.
const (
	toShow        = "GET "
	toRevocations = "GET /revocation"
	toRevoke      = "PUT /revocation"
)

// about asks about a consent with an access token.
func about(c *flow.Client, how, id, token string) *flow.Request {
	method, below, _ := strings.Cut(how, " ")
	r := &flow.Request{Method: method, URL: c.Server.Issuer + "/fdx/v6/consents/" + url.PathEscape(id) + below}
	if method == http.MethodPut {
		r.JSON = map[string]any{"reason": "USER_ACTION", "initiator": "INDIVIDUAL"}
	}
	return c.Present(r, token)
}

// consentIs wants a consent to be as it should in an answer and in the database.
func (d *deployment) consentIs(t *testing.T, c *flow.Client, s sharing, token, status string) {
	t.Helper()
	kept, found, err := d.store.FindConsent(t.Context(), s.id)
	if err != nil || !found || len(kept.Accounts) == 0 {
		t.Fatal(found, err, kept.Accounts)
	}
	var resources []any
	for _, id := range kept.Accounts {
		resources = append(resources, map[string]any{"resourceType": "ACCOUNT", "resourceId": id, "dataClusters": []any{"ACCOUNT_BASIC"}})
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
	e := do(t, c.Server, about(c, toShow, s.id, token))
	outcome(t, e, "200")
	want := map[string]any{
		"id": s.id, "status": status, "createdTime": at(kept.CreatedAt), "expirationTime": at(kept.CreatedAt.Add(90 * 24 * time.Hour)),
		"updatedTime": at(kept.UpdatedAt), "durationType": "TIME_BOUND", "durationPeriod": json.Number("90"), "lookbackPeriod": json.Number("60"), "resources": resources,
		"parties": []any{
			map[string]any{"type": "DATA_RECIPIENT", "name": "Budget", "homeUri": "https://app.example", "logoUri": "https://app.example/logo.png",
				"registry": "FDX", "registeredEntityName": "Budget Inc.", "registeredEntityId": "B1"},
			map[string]any{"type": "DATA_ACCESS_PLATFORM", "name": "Platform", "homeUri": "https://dap.example"},
			map[string]any{"type": "DATA_PROVIDER", "name": "First Example", "homeUri": d.issuer},
		},
	}
	if diff := cmp.Diff(want, e.JSON()); diff != "" {
		t.Error(diff)
	}
}

// firstExample is a deployment of a bank's, with a client that alex shares data with.
func firstExample(t *testing.T, replicas int) (*deployment, *flow.Client) {
	t.Helper()
	d := deploy(t, replicas, func(s *settings) { s.BrandName = "First Example" })
	return d, d.recipient(0, func(m map[string]any) {
		m["scope"] = "offline_access fdx:accountbasic:read"
		m["client_name"], m["client_uri"], m["logo_uri"] = "Budget", "https://app.example", "https://app.example/logo.png"
		m["registry_references"] = []any{map[string]any{"registered_entity_name": "Budget Inc.", "registered_entity_id": "B1", "registry": "FDX"}}
		m["intermediaries"] = []any{map[string]any{"name": "Platform", "uri": "https://dap.example"}}
	})
}

// FDX-05, FDX-07: a client looks at its consents, at every replica, and nobody else does.
func TestConsentsAreShown(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 2)
	stranger := d.recipient(0)
	s, other := d.share(c), d.share(c)
	plain := d.family(c, flow.NewBrowser(c.Server), bend("scope", "offline_access"), bend("authorization_details"))
	own, theirs := tokenFor(t, c, nil), tokenFor(t, stranger, nil)
	for i := range d.replicas {
		c := d.at(c, i)
		for _, token := range []string{own, s.token.AccessToken} {
			d.consentIs(t, c, s, token, fdx.Active)
			e := do(t, c.Server, about(c, toRevocations, s.id, token))
			if outcome(t, e, "200"); e.ResponseBody != `{"revocations":[]}`+"\n" {
				t.Error(e.ResponseBody)
			}
		}
	}

	first := do(t, c.Server, about(c, toShow, "none", own))
	for name, test := range map[string]struct {
		by        *flow.Client
		id, token string
	}{
		"another client's own token":    {stranger, s.id, theirs},
		"another consent of the client": {c, s.id, other.token.AccessToken},
		"a grant without data of FDX":   {c, d.grantOf(t, plain.code), own},
		"that grant's own token":        {c, d.grantOf(t, plain.code), plain.token.AccessToken},
		"an unknown id":                 {c, oauth.NewSecret().Reveal(), own},
		"an id in other letters":        {c, strings.ToUpper(s.id), own},
		"the beginning of an id":        {c, s.id[:len(s.id)-1], own},
		"an id and more":                {c, s.id + " ", own},
		"a pattern":                     {c, "%", own},
		"the id of the client":          {c, c.ID, own},
		"a NUL":                         {c, "\x00", own},
		"an id and a NUL":               {c, s.id + "\x00", own},
		"no UTF-8":                      {c, "\xff\xfe", own},
		"an id and no UTF-8":            {c, s.id + "\x80", own},
		"three hundred characters":      {c, strings.Repeat("a", 300), own},
		"five hundred others":           {c, strings.Repeat("é", 500), own},
		"SQL":                           {c, "' OR ''='", own},
		"a line break":                  {c, "a\r\nSet-Cookie: b=c", own},
		"a slash":                       {c, "a/b", own},
		"above":                         {c, "..", own},
	} {
		for _, how := range []string{toShow, toRevocations, toRevoke} {
			t.Run("FDX-07 "+name+", "+how, func(t *testing.T) {
				e := do(t, test.by.Server, about(test.by, how, test.id, test.token))
				refusedFor(t, e, "404 consent_unknown", oauth.ConsentUnknown)
				if e.ResponseBody != first.ResponseBody {
					t.Errorf("%s tells more than %s", e.ResponseBody, first.ResponseBody)
				}
			})
		}
	}
	for _, s := range []sharing{s, other} {
		d.consentIs(t, c, s, own, fdx.Active)
		d.wantFamily(s.family, true)
	}
	d.wantActive(plain.client, plain.token.AccessToken, true)
}

// RS-03, FDX-11: what is missing is told in FDX's words, with the challenge of every protected resource.
func TestConsentsWantBoundTokens(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 1)
	s, own := d.share(c), tokenFor(t, c, nil)
	const algs = `algs="PS256 ES256 EdDSA"`
	unbound, thief := d.register(0), *c
	thief.DPoPKey = unbound.DPoPKey
	d.desk(t).run("update", unbound.ID, "--unbound")
	bearer := do(t, unbound.Server, func() *flow.Request { r := unbound.TokenRequest(nil); r.Proof = nil; return r }()).JSON()["access_token"].(string)
	for name, test := range map[string]struct {
		edit   func(r *flow.Request)
		want   string
		reason oauth.Reason
	}{
		"no token":              {func(r *flow.Request) { r.Header.Del("Authorization") }, "401 token_missing", oauth.TokenMissing},
		"the scheme Bearer":     {func(r *flow.Request) { r.SetHeader("Authorization", "Bearer "+own) }, "401 invalid_token", oauth.TokenScheme},
		"a token without a key": {func(r *flow.Request) { r.SetHeader("Authorization", "Bearer "+bearer) }, "401 invalid_token", oauth.TokenUnbound},
		"no proof":              {func(r *flow.Request) { r.Proof = nil }, "401 invalid_token", oauth.TokenProofMissing},
		"a proof of another method": {func(r *flow.Request) { r.Proof = c.Proof("DELETE", r.URL, flow.ForToken(own)) },
			"401 invalid_dpop_proof", oauth.ProofMethod},
		"a proof for another consent": {func(r *flow.Request) { r.Proof = c.Proof(r.Method, r.URL+"x", flow.ForToken(own)) },
			"401 invalid_dpop_proof", oauth.ProofURI},
		"another's key":        {func(r *flow.Request) { r.Proof = thief.Proof(r.Method, r.URL, flow.ForToken(own)) }, "401 invalid_token", oauth.TokenKey},
		"a refresh token":      {func(r *flow.Request) { c.Present(r, s.token.RefreshToken) }, "401 invalid_token", oauth.TokenMalformed},
		"a token in the query": {func(r *flow.Request) { r.URL += "?access_token=" + own }, "400 invalid_request", oauth.ParameterInQuery},
	} {
		for _, how := range []string{toShow, toRevocations, toRevoke} {
			t.Run("RS-03 "+name+", "+how, func(t *testing.T) {
				r := about(c, how, s.id, own)
				test.edit(r)
				e := do(t, c.Server, r)
				refusedFor(t, e, test.want, test.reason)
				if fields := e.ResponseHeader.Values("WWW-Authenticate"); len(fields) != 1 || !strings.HasPrefix(fields[0], "DPoP ") || !strings.Contains(fields[0], algs) {
					t.Errorf("challenged with %q", fields)
				}
				if e.ResponseHeader.Get("DPoP-Nonce") == "" && r.Proof != nil {
					t.Error("no nonce")
				}
			})
		}
	}
	d.consentIs(t, c, s, own, fdx.Active)
}

// FDX-07: what does not say why a consent ends ends none, and uses no proof up.
func TestRevocationsThatAreRefused(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 1)
	s, other, own := d.share(c), d.share(c), tokenFor(t, c, nil)
	const good, media = `{"reason":"USER_ACTION","initiator":"INDIVIDUAL"}`, "application/json"
	target := about(c, toRevoke, s.id, own).URL
	send := func(proof, media, body string) *flow.Exchange {
		header := http.Header{"Authorization": {"DPoP " + own}, "Dpop": {proof}}
		if media != "" {
			header.Set("Content-Type", media)
		}
		return raw(t, c.Server, http.MethodPut, target, header, body)
	}
	proof := compact(t, c.Proof(http.MethodPut, target, flow.ForToken(own)))
	for name, test := range map[string]struct {
		media, body, want string
		reason            oauth.Reason
	}{
		"nothing":                 {media, "", "400 revocation_refused", oauth.RevocationRefused},
		"no object":               {media, "[" + good + "]", "400 revocation_refused", oauth.RevocationRefused},
		"no reason":               {media, `{"initiator":"INDIVIDUAL"}`, "400 revocation_refused", oauth.RevocationRefused},
		"no initiator":            {media, `{"reason":"USER_ACTION"}`, "400 revocation_refused", oauth.RevocationRefused},
		"another reason":          {media, `{"reason":"WHIM","initiator":"INDIVIDUAL"}`, "400 revocation_refused", oauth.RevocationRefused},
		"in our name":             {media, `{"reason":"USER_ACTION","initiator":"DATA_PROVIDER"}`, "400 revocation_refused", oauth.RevocationRefused},
		"a member twice":          {media, `{"reason":"USER_ACTION","initiator":"INDIVIDUAL","reason":"BUSINESS_RULE"}`, "400 revocation_refused", oauth.RevocationRefused},
		"no UTF-8":                {media, `{"reason":"USER_ACTION","initiator":"INDIVIDUAL","x":"` + "\xff" + `"}`, "400 revocation_refused", oauth.RevocationRefused},
		"two objects":             {media, good + good, "400 revocation_refused", oauth.RevocationRefused},
		"a form":                  {formMedia, "reason=USER_ACTION&initiator=INDIVIDUAL", "415 content_type_refused", oauth.ContentTypeRefused},
		"JSON called text":        {"text/plain", good, "415 content_type_refused", oauth.ContentTypeRefused},
		"JSON called nothing":     {"", good, "415 content_type_refused", oauth.ContentTypeRefused},
		"more than anybody reads": {media, good + strings.Repeat(" ", oauth.MaxBody), "413 body_too_large", oauth.BodyTooLarge},
	} {
		t.Run("FDX-07 "+name, func(t *testing.T) {
			e := send(proof, test.media, test.body)
			refusedFor(t, e, test.want, test.reason)
		})
	}
	d.consentIs(t, c, s, own, fdx.Active)
	d.wantFamily(s.family, true)

	t.Run("a spent proof ends nothing", func(t *testing.T) {
		wrong := about(c, toRevoke, s.id, other.token.AccessToken)
		wrong.Proof = flow.Literal(compact(t, wrong.Proof))
		refusedFor(t, do(t, c.Server, wrong), "404 consent_unknown", oauth.ConsentUnknown)
		refusedFor(t, do(t, c.Server, wrong), "401 invalid_dpop_proof", oauth.ProofReplayed)
		d.consentIs(t, c, s, own, fdx.Active)
	})
	t.Run("the proof of the refused bodies is as good as new", func(t *testing.T) {
		outcome(t, send(proof, media, good), "204")
		refusedFor(t, send(proof, media, good), "401 invalid_dpop_proof", oauth.ProofReplayed)
	})
	d.wantFamily(s.family, false)
	d.wantFamily(other.family, true)
}

// FDX-07, FDX-08: a revocation ends the tokens everywhere at once, is kept with who, why and by which request, and happens
// once.
func TestRevocationsEndEverything(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 2)
	elsewhere := d.at(c, 1)
	own := tokenFor(t, c, nil)
	const interaction = "550e8400-e29b-41d4-a716-446655440000"
	for name, token := range map[string]func(s sharing) string{
		"by the client's own token": func(sharing) string { return own },
		"by a token of the consent": func(s sharing) string { return s.token.AccessToken },
	} {
		t.Run("FDX-08 "+name, func(t *testing.T) {
			s := d.share(c)
			d.wantFamily(s.family, true)
			r := about(c, toRevoke, s.id, token(s)).SetHeader("X-Fapi-Interaction-Id", interaction)
			r.JSON = map[string]any{"reason": "BUSINESS_RULE", "initiator": "DATA_RECIPIENT", "more": []any{1}}
			e := do(t, c.Server, r)
			if outcome(t, e, "204"); e.ResponseBody != "" || e.ResponseHeader.Get("X-Fapi-Interaction-Id") != interaction {
				t.Errorf("%q %v", e.ResponseBody, e.ResponseHeader)
			}
			d.wantFamily(s.family, false)
			refusedFor(t, do(t, elsewhere.Server, about(elsewhere, toShow, s.id, s.token.AccessToken)), "401 invalid_token", oauth.TokenRevoked)
			d.consentIs(t, elsewhere, s, own, fdx.Revoked)

			kept, _, err := d.store.FindConsent(t.Context(), s.id)
			stop, stopped := kept.Stop()
			if err != nil || !stopped || kept.RevokedAt == nil || !kept.UpdatedAt.Equal(*kept.RevokedAt) {
				t.Fatalf("%v %+v", err, kept)
			}
			want := grant.StoppedByClient(c.ID, fdx.Revocation{Reason: "BUSINESS_RULE", Initiator: "DATA_RECIPIENT"}, interaction, *kept.RevokedAt)
			if diff := cmp.Diff(want, stop); diff != "" {
				t.Error(diff)
			}
			for range 2 {
				refusedFor(t, do(t, elsewhere.Server, about(elsewhere, toRevoke, s.id, own)), "409 consent_ended", oauth.ConsentEnded)
			}
			list := do(t, elsewhere.Server, about(elsewhere, toRevocations, s.id, own)).JSON()
			said := map[string]any{"revocations": []any{map[string]any{"status": "REVOKED", "reason": "BUSINESS_RULE", "initiator": "DATA_RECIPIENT",
				"updatedTime": stop.At.UTC().Format("2006-01-02T15:04:05.000Z07:00")}}}
			if diff := cmp.Diff(said, list); diff != "" {
				t.Error(diff)
			}
			if n := d.revoked(s.id); n != 1 || !strings.Contains(d.trail.String(), `"subject":"`+kept.Subject+`","grant_id":"`+s.id) {
				t.Errorf("%d audit records of %s", n, audit.GrantRevoked)
			}
		})
	}
	t.Run("FDX-07 its time is over", func(t *testing.T) {
		s := d.share(c)
		d.clock.advance(90 * 24 * time.Hour)
		own := tokenFor(t, c, nil)
		d.consentIs(t, c, s, own, fdx.Expired)
		refusedFor(t, do(t, c.Server, about(c, toRevoke, s.id, own)), "409 consent_ended", oauth.ConsentEnded)
		if e := do(t, c.Server, about(c, toRevocations, s.id, own)); e.ResponseBody != `{"revocations":[]}`+"\n" {
			t.Error(e.ResponseBody)
		}
	})
}

// FDX-08: of fifty revocations at once, by tokens that end with the consent and by others, one ends it.
func TestRevocationsAtOnce(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 2)
	clients := d.everywhere(c)
	s, own := d.share(c), tokenFor(t, c, nil)
	got := atOnce(t, 50, func(i int) (*flow.Server, *flow.Request) {
		c, token := clients[i%len(clients)], own
		if i%4 < 2 {
			token = s.token.AccessToken
		}
		return c.Server, about(c, toRevoke, s.id, token)
	})
	if got["204"] != 1 || got["409 consent_ended"]+got["401 invalid_token"] != 49 || got["409 consent_ended"] < 23 { // the winner may be one of the 24
		t.Errorf("%v", got)
	}
	d.wantFamily(s.family, false)
	kept, _, err := d.store.FindConsent(t.Context(), s.id)
	if err != nil || len(kept.History) != 3 || d.revoked(s.id) != 1 {
		t.Errorf("%v, %d audit records, history %+v", err, d.revoked(s.id), kept.History)
	}
}

// Where nobody can sign in any more, what was granted before can still be looked at and ended.
func TestConsentsWithoutLogin(t *testing.T) {
	t.Parallel()
	d, c := firstExample(t, 1)
	s := d.share(c)
	d.config.login = loginOff
	d.restart()
	c = d.at(c, 0)
	own := tokenFor(t, c, nil)
	d.consentIs(t, c, s, own, fdx.Active)
	outcome(t, do(t, c.Server, about(c, toRevoke, s.id, own)), "204")
	d.consentIs(t, c, s, own, fdx.Revoked)
}
