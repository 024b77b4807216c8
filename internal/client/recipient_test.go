package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// recipient is the kid that what is encrypted for c1 bears, or the error.
func (b *bench) recipient(alg string) (string, error) {
	b.t.Helper()
	c, _, err := b.Records.Find(b.t.Context(), "c1")
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := b.KeySets.Recipient(b.t.Context(), c, alg)
	if err != nil {
		if r != nil {
			b.t.Error("a key came with the error")
		}
		return "", err
	}
	compact, err := r.Encrypt([]byte("x"), "A256GCM", "JWT")
	if err != nil {
		b.t.Fatal(err)
	}
	head, _, _ := strings.Cut(compact, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Kid string }
	if err := errors.Join(err, json.Unmarshal(text, &header)); err != nil {
		b.t.Fatal(err)
	}
	return header.Kid, nil
}

// wantsRecipient demands the key of this kid.
func (b *bench) wantsRecipient(what, alg, want string) {
	b.t.Helper()
	if got, err := b.recipient(alg); err != nil || got != want {
		b.t.Errorf("%s: key %q, want %q: %v", what, got, want, err)
	}
}

// wantsNone demands a refusal, and returns its description.
func (b *bench) wantsNone(what, alg string) string {
	b.t.Helper()
	got, err := b.recipient(alg)
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Reason != oauth.EncryptionKeyMissing || refusal.Code() != oauth.InvalidRequest || refusal.Status() != 400 {
		b.t.Fatalf("%s: key %q, %v", what, got, err)
	}
	if refusal.Description != oauth.Printable(refusal.Description) {
		b.t.Errorf("%s: not fit for error_description: %s", what, refusal.Description)
	}
	return refusal.Description
}

// KY-04, CRY-08: the key is found among the inline ones, or the client is told what it lacks.
func TestRecipientInline(t *testing.T) {
	sig := rsaSigner("the signing key").JWK()
	sig["use"] = "sig"
	private := rsaSigner("private").ForEncryption("RSA-OAEP")
	private["d"] = b64(make([]byte, 32))
	b := newBench(t, Vetting{}, inline("c1", sig, private, rsaSigner("rsa").ForEncryption("RSA-OAEP"), ecSigner("ec").ForEncryption("ECDH-ES")))
	b.wantsRecipient("RSA", "RSA-OAEP", "rsa")
	b.wantsRecipient("EC", "ECDH-ES", "ec")
	const want = "jwks: The JWK Set has no key for RSA-OAEP-256: expected kty RSA of 2048 to 4096 bits, use enc or none, " +
		"alg RSA-OAEP-256 or none. It has the kids: the signing key, private, rsa, ec"
	if diff := cmp.Diff(want, b.wantsNone("another alg", "RSA-OAEP-256")); diff != "" {
		t.Error(diff)
	}
	for name, keys := range map[string][]any{"only keys for signatures": {sig}, "a private key": {sig, private}} {
		b = newBench(t, Vetting{}, inline("c1", keys...))
		b.wantsNone("KY-04 "+name, "RSA-OAEP")
	}
}

// What a client may write into a kid does not make the answer longer, or other, than it should be.
func TestRecipientNamesFewKids(t *testing.T) {
	var keys []any
	for i := range MaxKeys {
		key := edSigner(strings.Repeat("é", 100) + fmt.Sprint(i))
		if i == 0 {
			key.Kid = ""
		}
		keys = append(keys, key)
	}
	text := newBench(t, Vetting{}, inline("c1", keys...)).wantsNone("long kids", "ECDH-ES")
	one := strings.Repeat("?", 20)
	if _, named, _ := strings.Cut(text, "kids: "); named != strings.Join(slices.Repeat([]string{one}, 5), ", ") {
		t.Errorf("named are %s", named)
	}
	if text := newBench(t, Vetting{}, inline("c1", edSigner(""))).wantsNone("no kid", "ECDH-ES"); !strings.HasSuffix(text, "kids: none") {
		t.Error(text)
	}
}

// KY-04: behind a jwks_uri the set that the client was proven with will do; a key that was added is found by a fetch, of
// which there is one in 30 s.
func TestRecipientBehindURI(t *testing.T) {
	key, enc := ecSigner("k1"), rsaSigner("enc").ForEncryption("RSA-OAEP")
	h := newHost(t, serves(jwks(key)))
	b := h.bench(t)
	b.wants("the client", key, true)
	h.wantHits(t, "the client", 1)
	if text := b.wantsNone("KY-04 no key for encryption", "RSA-OAEP"); !strings.HasPrefix(text, "jwks_uri: ") || !strings.HasSuffix(text, "kids: k1") {
		t.Error(text)
	}
	h.wantHits(t, "no key for encryption", 2)
	h.answer(serves(jwks(key, enc)))
	b.clock.advance(29 * time.Second)
	b.wantsNone("29 s later", "RSA-OAEP")
	h.wantHits(t, "29 s later", 2)
	b.clock.advance(time.Second)
	b.wantsRecipient("30 s later", "RSA-OAEP", "enc")
	b.wantsRecipient("again", "RSA-OAEP", "enc")
	b.wants("the client again", key, true)
	h.wantHits(t, "30 s later", 3)
	h.answer(serves(jwks(key)))
	b.clock.advance(5 * time.Minute)
	b.wantsNone("KY-04 the key was removed", "RSA-OAEP")
}

// While the host is down the last good set serves for an hour; then nobody knows, and the client
// is told what it is that is down: an answer that it asked for is no fault of ours (IDT-05).
func TestRecipientWhileHostIsDown(t *testing.T) {
	enc := rsaSigner("enc").ForEncryption("RSA-OAEP")
	h := newHost(t, serves(jwks(enc)))
	b := h.bench(t)
	b.wantsRecipient("the host is up", "RSA-OAEP", "enc")
	set := b.saved("c1", 1)
	h.answer(fails)
	b.clock.advance(5*time.Minute - time.Second)
	b.wantsRecipient("within max-age", "RSA-OAEP", "enc")
	if b.watch.stale != 0 {
		t.Errorf("%d stale", b.watch.stale)
	}
	b.clock.advance(55 * time.Minute)
	b.wantsRecipient("an hour after the fetch, less a second", "RSA-OAEP", "enc")
	b.land("c1")
	if b.watch.stale != 1 {
		t.Errorf("%d stale", b.watch.stale)
	}
	b.clock.advance(time.Second)
	b.wantsNone("an hour after the fetch", "RSA-OAEP")
	b.land("c1")

	c := remote("c1", h.URL+"/jwks")
	c.LastKeySet = &set
	newBench(t, h.vetting(), c).wantsRecipient("after a restart", "RSA-OAEP", "enc")
	newHost(t, fails).bench(t).wantsNone("a host that never answered", "RSA-OAEP")
	newHost(t, serves("<html>")).bench(t).wantsNone("a host that never gave a set", "RSA-OAEP")
}

// DCR-09, IDT-04: what each kind of answer is protected by.
func TestProtection(t *testing.T) {
	none := Client{}
	all := Client{Metadata: Metadata{
		IDTokenSignedResponseAlg: "ES256", IDTokenEncryptedResponseAlg: "RSA-OAEP", IDTokenEncryptedResponseEnc: "A256GCM",
		UserinfoSignedResponseAlg: "EdDSA", UserinfoEncryptedResponseAlg: "RSA-OAEP-256", UserinfoEncryptedResponseEnc: "A128GCM",
		AuthorizationSignedResponseAlg: "PS256", AuthorizationEncryptedResponseAlg: "ECDH-ES", AuthorizationEncryptedResponseEnc: "A128CBC-HS256",
		IntrospectionSignedResponseAlg: "ES256", IntrospectionEncryptedResponseAlg: "ECDH-ES+A256KW", IntrospectionEncryptedResponseEnc: "A256CBC-HS512",
	}}
	unsigned := Client{Metadata: Metadata{
		IDTokenEncryptedResponseAlg: "RSA-OAEP", IDTokenEncryptedResponseEnc: "A256GCM",
		UserinfoEncryptedResponseAlg: "RSA-OAEP", UserinfoEncryptedResponseEnc: "A256GCM",
		AuthorizationEncryptedResponseAlg: "RSA-OAEP", AuthorizationEncryptedResponseEnc: "A256GCM",
		IntrospectionEncryptedResponseAlg: "RSA-OAEP", IntrospectionEncryptedResponseEnc: "A256GCM",
	}}
	signed := Protection{Sign: jose.PS256, Alg: "RSA-OAEP", Enc: "A256GCM"}
	for name, test := range map[string]struct {
		of   func(Client) Protection
		none Protection
		all  Protection
	}{
		"ID token":      {Client.IDToken, Protection{Sign: jose.PS256}, Protection{jose.ES256, "RSA-OAEP", "A256GCM"}},
		"userinfo":      {Client.Userinfo, Protection{}, Protection{jose.EdDSA, "RSA-OAEP-256", "A128GCM"}},
		"authorization": {Client.Authorization, Protection{Sign: jose.PS256}, Protection{jose.PS256, "ECDH-ES", "A128CBC-HS256"}},
		"introspection": {Client.Introspection, Protection{}, Protection{jose.ES256, "ECDH-ES+A256KW", "A256CBC-HS512"}},
	} {
		got := []Protection{test.of(none), test.of(all), test.of(unsigned)}
		if diff := cmp.Diff([]Protection{test.none, test.all, signed}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
