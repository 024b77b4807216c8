package introspect_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/jose"

	oracle "github.com/go-jose/go-jose/v4"
)

// encrypting registers c1 for encrypted answers. With a key to encrypt with among its own, which is returned, or without.
func (b *bench) encrypting(withKey bool) *rsa.PrivateKey {
	b.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.t.Fatal(err)
	}
	keys := []any{b.c1.Key.PublicJWK()}
	if withKey {
		keys = append(keys, oracle.JSONWebKey{Key: private.Public(), KeyID: "for answers", Use: "enc"})
	}
	jwks, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		b.t.Fatal(err)
	}
	c := b.store.clients["c1"]
	c.Version++
	c.Metadata.JWKS = jwks
	c.Metadata.IntrospectionSignedResponseAlg = "ES256"
	c.Metadata.IntrospectionEncryptedResponseAlg, c.Metadata.IntrospectionEncryptedResponseEnc = "RSA-OAEP", "A256GCM"
	b.store.clients["c1"] = c
	return private
}

// opened is what the holder of the key reads in an answer.
func (b *bench) opened(e *flow.Exchange, private *rsa.PrivateKey) map[string]any {
	b.t.Helper()
	media, cached := e.ResponseHeader.Get("Content-Type"), e.ResponseHeader.Get("Cache-Control")
	if media != "application/token-introspection+jwt" || cached != "no-store" {
		b.t.Errorf("headers %v", e.ResponseHeader)
	}
	theirs, err := oracle.ParseEncryptedCompact(e.ResponseBody, []oracle.KeyAlgorithm{oracle.RSA_OAEP}, []oracle.ContentEncryption{oracle.A256GCM})
	if err != nil {
		b.t.Fatalf("%v: %s", err, e.ResponseBody)
	}
	if theirs.Header.KeyID != "for answers" || theirs.Header.ExtraHeaders[oracle.HeaderContentType] != "JWT" {
		b.t.Errorf("header %+v", theirs.Header)
	}
	text, err := theirs.Decrypt(private)
	if err != nil {
		b.t.Fatal(err)
	}
	jwt, err := flow.Decode(string(text))
	if err != nil {
		b.t.Fatal(err)
	}
	if jwt.Member("typ") != "token-introspection+jwt" || jwt.Member("alg") != "ES256" || jwt.Claims["aud"] != "c1" || jwt.Claims["iss"] != issuer ||
		jwt.Claims["sub"] != nil || jwt.Claims["exp"] != nil {
		b.t.Errorf("%v %v", jwt.Header, jwt.Claims)
	}
	says, _ := jwt.Claims["token_introspection"].(map[string]any)
	return says
}

// TestEncrypted (INT-06, INT-07, CRY-08): a caller that registered for encrypted answers gets nothing else, whatever it
// accepts, and of tokens that are not valid neither.
func TestEncrypted(t *testing.T) {
	b := newBench(t)
	private := b.encrypting(true)
	for _, accept := range []string{"", "application/json", "application/token-introspection+jwt"} {
		for _, test := range []struct {
			token  string
			active bool
		}{{refresh, true}, {b.access("grant 1"), true}, {refresh + "x", false}} {
			r := b.c1.IntrospectRequest(test.token)
			if accept != "" {
				r.SetHeader("Accept", accept)
			}
			says := b.opened(b.send(b.c1, r, "200"), private)
			if says["active"] != test.active || test.active && says["client_id"] != "c1" || !test.active && len(says) != 1 {
				t.Errorf("Accept %q: %v", accept, says)
			}
		}
	}
	b.revoke(b.c1, refresh, "")
}

// TestEncryptionKeyMissing (KY-04, INT-06): whose key is missing is told so, before its assertion is spent. Revocation, which
// answers nothing, does without.
func TestEncryptionKeyMissing(t *testing.T) {
	b := newBench(t)
	b.encrypting(false)
	e := b.send(b.c1, b.c1.IntrospectRequest(refresh), "400 invalid_request")
	if e.JSON()["error_uri"] != issuer+"/errors/encryption_key_missing" || b.store.spends != 0 {
		t.Errorf("%d spends: %s", b.store.spends, e.ResponseBody)
	}
	// The record in memory lacks the key that the client has registered since.
	private := b.encrypting(true)
	if says := b.opened(b.send(b.c1, b.c1.IntrospectRequest(refresh), "200"), private); says["active"] != true {
		t.Errorf("%v", says)
	}
	b.encrypting(false)
	b.revoke(b.c1, refresh, "")
}

// nowhere is a key set whose host is down.
type nowhere struct{}

func (nowhere) Recipient(context.Context, client.Client, string) (*jose.Recipient, error) {
	return nil, outage{}
}

// TestEncryptionKeyUnknown: while nobody can tell whether there is a key, the caller comes back later, with nothing spent.
func TestEncryptionKeyUnknown(t *testing.T) {
	b := newBench(t)
	b.encrypting(true)
	b.sealer.Keys = nowhere{}
	b.send(b.c1, b.c1.IntrospectRequest(refresh), "503 temporarily_unavailable")
	if b.store.spends != 0 {
		t.Errorf("%d spends", b.store.spends)
	}
	c2 := b.send(b.c2, b.c2.IntrospectRequest(refresh), "200")
	if !slices.Contains(c2.ResponseHeader["Content-Type"], "application/json") {
		t.Errorf("a caller that registered nothing: %v", c2.ResponseHeader)
	}
}
