package token_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// decryption is the client's key for what it receives; it is made once.
var decryption = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// identifying has the grant be one with an ID token.
func identifying(b *bench) {
	b.grants.grant.Scope, b.grants.redemption.Nonce = "openid a:read", "n-0S6_WzA2Mj"
	b.grants.grant.SessionID = "session 1"
	b.registry.client.Metadata.IDTokenSignedResponseAlg = "ES256"
}

// encrypting has the client register that ID tokens are encrypted, with more keys beside the one that signs.
func encrypting(t *testing.T, keys ...oracle.JSONWebKey) func(*bench) {
	t.Helper()
	return func(b *bench) {
		identifying(b)
		m := &b.registry.client.Metadata
		m.IDTokenEncryptedResponseAlg, m.IDTokenEncryptedResponseEnc = "RSA-OAEP", "A256GCM"
		set := []any{clientKey().PublicJWK()}
		for _, k := range keys {
			set = append(set, k)
		}
		var err error
		if m.JWKS, err = json.Marshal(map[string]any{"keys": set}); err != nil {
			t.Fatal(err)
		}
	}
}

// readIDToken is what the ID token of an answer says, to another library.
func readIDToken(t *testing.T, compact string) (claims map[string]any) {
	t.Helper()
	jws, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.ES256})
	if err != nil {
		t.Fatalf("%v: %q", err, compact)
	}
	payload, err := jws.Verify(signing().Signer.Key().Public())
	if err != nil || json.Unmarshal(payload, &claims) != nil || jws.Signatures[0].Protected.ExtraHeaders["typ"] != "JWT" {
		t.Fatal(err, string(payload))
	}
	return claims
}

// TestIDToken (IDT-01 to IDT-03, RT-07): with openid an ID token comes beside the access token, whose hash it has. The first
// has the nonce; one of a refresh has none, and the sign-in of then.
func TestIDToken(t *testing.T) {
	b := newBench(t, identifying)
	for name, test := range map[string]struct {
		request *flow.Request
		nonce   any
	}{"code": {b.redeem(), "n-0S6_WzA2Mj"}, "refresh": {b.refreshing(), nil}} {
		answer, says := b.granted(test.request)
		sum := sha256.Sum256([]byte(answer["access_token"].(string)))
		want := map[string]any{
			"iss": issuer, "sub": "_alex", "aud": "c1", "iat": float64(noon.Unix()), "exp": float64(noon.Unix() + 300),
			"auth_time": float64(noon.Unix() - 60), "acr": "urn:example:acr", "amr": []any{"pwd"}, "sid": "session 1",
			"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
		}
		if test.nonce != nil {
			want["nonce"] = test.nonce
		}
		if diff := cmp.Diff(want, readIDToken(t, answer["id_token"].(string))); diff != "" || says.Scope != "openid a:read" {
			t.Errorf("%s, of %q (-want +got):\n%s", name, says.Scope, diff)
		}
	}
}

// TestNoIDToken (IDT-01): no openid, no ID token, whether it was not granted, not asked for this time, or is not the
// client's any more; and none of a client in its own name.
func TestNoIDToken(t *testing.T) {
	for name, test := range map[string]struct {
		request request
		prepare func(*bench)
	}{
		"code, not granted":             {redeem(), func(b *bench) { b.grants.grant.Scope = "a:read" }},
		"refresh, not granted":          {refreshing(), func(b *bench) { b.grants.grant.Scope = "a:read" }},
		"refresh, narrowed":             {refreshing("scope", "a:read"), nil},
		"code, registered no more":      {redeem(), registered("a:read")},
		"refresh, registered no more":   {refreshing(), registered("a:read")},
		"CC-05 a client's own":          {func(b *bench) *flow.Request { return b.TokenRequest(nil) }, nil},
		"CC-05 a client's own, by name": {func(b *bench) *flow.Request { return edited(b.TokenRequest(nil), []string{"scope", "openid a:read"}) }, nil},
	} {
		b := newBench(t, identifying)
		if test.prepare != nil {
			test.prepare(b)
		}
		if answer, says := b.granted(test.request(b)); answer["id_token"] != nil || says.Has("openid") {
			t.Errorf("%s: %v of %q", name, answer["id_token"], says.Scope)
		}
	}
}

// TestIDTokenEncrypted (IDT-05): to the client's key alone, as registered, around the signed one.
func TestIDTokenEncrypted(t *testing.T) {
	b := newBench(t, encrypting(t, oracle.JSONWebKey{Key: decryption().Public(), KeyID: "theirs", Use: "enc"}))
	for name, request := range map[string]*flow.Request{"code": b.redeem(), "refresh": b.refreshing()} {
		answer, _ := b.granted(request)
		jwe, err := oracle.ParseEncryptedCompact(answer["id_token"].(string),
			[]oracle.KeyAlgorithm{oracle.RSA_OAEP}, []oracle.ContentEncryption{oracle.A256GCM})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if cty := jwe.Header.ExtraHeaders["cty"]; cty != "JWT" || jwe.Header.KeyID != "theirs" {
			t.Errorf("%s: the header %+v", name, jwe.Header)
		}
		inner, err := jwe.Decrypt(decryption())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if claims := readIDToken(t, string(inner)); claims["sub"] != "_alex" {
			t.Errorf("%s: %v", name, claims)
		}
	}
}

// TestIDTokenWithoutKey (IDT-05, KY-04): where a client has no key to encrypt for, it has no ID token, neither encrypted nor
// plain, and no access token beside one. Its code is kept by the rule of package grant, which is told. What has no openid
// needs no key.
func TestIDTokenWithoutKey(t *testing.T) {
	withoutKey := func() *bench { return newBench(t, encrypting(t)) }
	b := withoutKey()
	b.grants.redemption = grant.Redemption{Outcome: grant.NoIDToken}
	e := b.refused(b.redeem(), oauth.EncryptionKeyMissing)
	if b.grants.attempt.Unsealed == nil || e.ErrorCode() != "invalid_request" || strings.Contains(e.ResponseBody, "try") {
		t.Errorf("the rule is told %v, the client %s", b.grants.attempt.Unsealed, e.ResponseBody)
	}
	b = withoutKey()
	b.refused(b.refreshing(), oauth.EncryptionKeyMissing)
	if b.grants.grant.UsedAt != nil {
		t.Error("the grant counts as used")
	}
	for name, request := range map[string]func(b *bench) *flow.Request{
		"refresh, narrowed": refreshing("scope", "a:read"),
		"refresh, not granted": func(b *bench) *flow.Request {
			b.grants.grant.Scope = "a:read"
			return b.refreshing()
		},
		"code, not granted": func(b *bench) *flow.Request {
			b.grants.grant.Scope = "a:read"
			return b.redeem()
		},
	} {
		b := withoutKey()
		if answer, _ := b.granted(request(b)); answer["id_token"] != nil {
			t.Errorf("%s: %v", name, answer)
		}
	}
	b = newBench(t, encrypting(t), registered("a:read"))
	b.grants.grant.Scope = "a:read"
	b.granted(b.redeem())
	if b.grants.attempt.Unsealed != nil {
		t.Errorf("who is not registered for openid needs no key: %v", b.grants.attempt.Unsealed)
	}
}

// TestOpenIDIsNoRemainder: of a request for data that gives none, openid alone is not the rest.
func TestOpenIDIsNoRemainder(t *testing.T) {
	with := func(b *bench) {
		sharing(shared())(b)
		b.grants.grant.Scope = "openid fdx:accountbasic:read fdx:transactions:read"
		b.registry.client.Metadata.Scope = b.grants.grant.Scope
	}
	details := asking(terms, `"dataClusters":["TRANSACTIONS"]`)
	b := newBench(t, with)
	b.refused(b.refreshing("scope", "openid fdx:accountbasic:read", "authorization_details", details), oauth.GrantScope)
	b = newBench(t, with)
	b.refused(b.refreshing("scope", "openid", "authorization_details", details), oauth.GrantScope)
	b = newBench(t, with) // a grant from before there were consents
	b.grants.grant.Details = nil
	b.refused(b.refreshing(), oauth.GrantScope)
	b = newBench(t, with)
	answer, says := b.granted(b.refreshing("scope", "openid"))
	if answer["scope"] != "openid" || answer["id_token"] == nil || len(says.Details) > 0 || answer["authorization_details"] != nil {
		t.Errorf("openid alone: %v, %+v", answer, says)
	}
	b = newBench(t, with)
	answer, says = b.granted(b.refreshing("authorization_details", details))
	if answer["scope"] != "openid fdx:transactions:read" || named(says.Details) != "one: TRANSACTIONS, two: TRANSACTIONS" {
		t.Errorf("less data, and openid: %v, %+v", answer, says)
	}
}
