package main

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	gojose "github.com/go-jose/go-jose/v4"
)

// sealed has a client registered for ID tokens that are encrypted.
func sealed(m map[string]any) {
	withOpenID(m)
	m["id_token_encrypted_response_alg"], m["id_token_encrypted_response_enc"] = "RSA-OAEP", "A256GCM"
}

// unsealable wants a request for an ID token refused for want of a key, and nothing of an ID token in the answer.
func unsealable(t *testing.T, c *flow.Client, r *flow.Request) {
	t.Helper()
	e := do(t, c.Server, r)
	refusedFor(t, e, "400 invalid_request", oauth.EncryptionKeyMissing)
	if strings.Contains(e.ResponseBody, "_token\"") {
		t.Errorf("%s", e.ResponseBody)
	}
}

// lostKey: KY-04. The key that ID tokens are encrypted for is gone when the code is redeemed: no replica gives tokens, and
// none takes the code. With the key back the code is as good as before.
func lostKey(t *testing.T, d *deployment) {
	t.Run("behind a jwks_uri", func(t *testing.T) { lostBehindURI(t, d.within(t)) })
	t.Run("in the registration", func(t *testing.T) { lostInRegistration(t, d.within(t)) })
	t.Run("with its host", func(t *testing.T) { lostWithHost(t, d.within(t)) })
}

// lostWithHost: that a client's host gives no key set is the client's fault, and told as such: it is no outage of this server,
// which would have an operator look for what he cannot mend.
func lostWithHost(t *testing.T, d *deployment) {
	r := newReader(t)
	c := d.recipient(0, withOpenID, r.publish, changes{"userinfo_signed_response_alg": "PS256", "userinfo_encrypted_response_alg": "RSA-OAEP",
		"userinfo_encrypted_response_enc": "A256GCM"}.apply)
	a := ask(t, c, identified)
	access := a.redeem(a.code()).AccessToken
	userinfo := func(want string) *flow.Exchange {
		return d.expect(c, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/oauth2/userinfo"}, access), want)
	}
	userinfo("200")
	host := newKeyHost(t, func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	d.operatorSets(c, func(record *client.Client) { record.Metadata.JWKS, record.Metadata.JWKSURI = nil, host.URL+"/jwks" })
	for _, what := range []string{"404", "<html>", "nobody"} {
		switch what {
		case "<html>":
			host.now(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) })
		case "nobody":
			host.Close()
		}
		if e := userinfo("400 invalid_request"); !strings.Contains(e.ErrorDescription(), "jwks_uri") {
			t.Errorf("%s: %s", what, e.ErrorDescription())
		}
		d.clock.advance(time.Minute)
	}
}

func lostBehindURI(t *testing.T, d *deployment) {
	r := newReader(t)
	host := newKeyHost(t, nil)
	c := d.recipient(0, sealed, keysAt(host.URL+"/jwks"))
	forAMinute := func(keys ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, keySetOf(keys...))
		}
	}
	whole := forAMinute(c.Key.PublicJWK(), gojose.JSONWebKey{Key: r.rsa.Public(), KeyID: "rsa", Use: "enc"})
	host.now(whole)
	a := ask(t, c, identified)
	b := a.browser()
	a.upTo(b, "decision")
	d.clock.advance(61 * time.Second) // the key set has to be fetched anew
	host.now(forAMinute(c.Key.PublicJWK()))
	if _, err := b.Answer(t.Context(), a.person, flow.Approve); err != nil {
		t.Fatal(err)
	}
	code := a.told(b.Page).Get("code")
	for i := range 2 { // the third replica has not asked for the keys yet
		c := d.at(c, i)
		unsealable(t, c, a.by(c).redemption(code))
	}
	unsealable(t, c, c.PushRequest(bent(identified))) // and nobody is sent on the way in vain
	outcome(t, do(t, c.Server, c.PushRequest(pushable())), "201")
	host.now(whole)
	token := a.by(d.at(c, 2)).redeem(code)
	r.identity(t, d.at(c, 2), token)

	d.clock.advance(61 * time.Second)
	host.now(forAMinute(c.Key.PublicJWK()))
	unsealable(t, c, c.RefreshRequest(token.RefreshToken, nil))
	narrowed, err := c.Refresh(t.Context(), token.RefreshToken, map[string][]string{"scope": {"fdx:accountbasic:read"}})
	if err != nil || narrowed.Exchange.JSON()["id_token"] != nil {
		t.Errorf("without openid no key is needed: %v", err)
	}
}

func lostInRegistration(t *testing.T, d *deployment) {
	r := newReader(t)
	c := d.recipient(0, sealed, r.publish)
	at := d.everywhere(c)
	a := ask(t, c, identified)
	code := a.code()
	var kept []byte
	d.operatorSets(c, func(record *client.Client) {
		kept, record.Metadata.JWKS = record.Metadata.JWKS, []byte(keySetOf(c.Key.PublicJWK()))
	})
	for range grant.CodeFailures { // as often as wrong tries would be too many
		for _, c := range at {
			unsealable(t, c, a.by(c).redemption(code))
		}
	}
	d.operatorSets(c, func(record *client.Client) { record.Metadata.JWKS = kept })
	r.identity(t, at[1], a.by(at[1]).redeem(code))
}

// identity is the ID token inside the encrypted one that came with an access token.
func (r reader) identity(t *testing.T, c *flow.Client, token *flow.Token) flow.JWT {
	t.Helper()
	compact, _ := token.Exchange.JSON()["id_token"].(string)
	id, err := flow.Decode(r.read(t, compact, "RSA-OAEP", "A256GCM"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Server.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Verify(keys); err != nil || id.Claim("aud") != c.ID ||
		id.Claim("at_hash") != hashed("PS256", token.AccessToken) {
		t.Errorf("%v: %v %v", err, id.Header, id.Claims)
	}
	return id
}

// weakKeys: KY-05. Keys that nobody should be written to with are refused where they are registered; behind a jwks_uri, when
// the first ID token is asked for.
func weakKeys(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		alg string
		key any
	}{
		"RSA of 1024 bits":  {"RSA-OAEP", gojose.JSONWebKey{Key: short.Public(), KeyID: "short", Use: "enc"}},
		"a point off P-256": {"ECDH-ES", jwk(k, map[string]any{"use": "enc", "kid": "off", "y": k.PublicJWK().X})},
		"a key to sign":     {"ECDH-ES+A256KW", jwk(k, map[string]any{"use": "sig", "kid": "sign"})},
		"RSA for RSA1_5":    {"RSA-OAEP-256", jwk(key(t, "PS256"), map[string]any{"use": "enc", "alg": "RSA1_5"})},
	} {
		t.Run(name, func(t *testing.T) {
			s, own := d.server(0), key(t, "ES256")
			signing := jwk(own, map[string]any{"use": "sig"})
			registration := metadata(own, recipient, withOpenID, func(m map[string]any) {
				m["id_token_encrypted_response_alg"], m["jwks"] = test.alg, map[string]any{"keys": []any{signing, test.key}}
			})
			refusedFor(t, do(t, s, s.RegisterRequest(registration)), "400 invalid_client_metadata", oauth.MetadataKeys)
			keysAt(newKeyHost(t, publishing(signing, test.key)).URL + "/jwks")(registration)
			c, err := s.Register(t.Context(), s.RegisterRequest(registration), own, key(t, "ES256"))
			if err != nil {
				t.Fatal(err)
			}
			unsealable(t, c, c.PushRequest(bent(identified)))
		})
	}
	d.neither(t, noMetadata, member("id_token_encrypted_response_alg", "RSA1_5", "dir", "A256KW", "PBES2-HS256+A128KW"))
}
