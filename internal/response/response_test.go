package response_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/response"
)

// house has the server's keys, one for each algorithm, and the client's.
type house struct {
	signers map[jose.Alg]*jose.Signer
	set     jose.KeySet
	private *rsa.PrivateKey // the client's
	asked   []string        // what Recipient was asked for: client, algorithm
	down    error
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{signers: map[jose.Alg]*jose.Signer{}}
	for _, alg := range []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA} {
		private, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		if h.signers[alg], err = jose.NewSigner(alg, "ours", private); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if h.private, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	public := oracle.JSONWebKey{Key: h.private.Public(), KeyID: "theirs", Use: "enc"}
	text, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		t.Fatal(err)
	}
	if h.set, err = jose.ParseKeySet(text, 1); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) Sign(alg jose.Alg, typ string, claims any) (string, error) {
	if h.down != nil {
		return "", h.down
	}
	return h.signers[alg].Sign(typ, claims)
}

func (h *house) Recipient(_ context.Context, c client.Client, alg string) (*jose.Recipient, error) {
	h.asked = append(h.asked, c.ID+" "+alg)
	return h.set.Recipient(alg)
}

func (h *house) sealer() response.Sealer { return response.Sealer{Signer: h, Keys: h} }

var said = map[string]any{"iss": "https://as.example", "n": 1.0}

// opened demands that go-jose verifies the JWS, and returns header and claims.
func opened(t *testing.T, signed string, public crypto.PublicKey) (oracle.Header, map[string]any) {
	t.Helper()
	theirs, err := oracle.ParseSignedCompact(signed, []oracle.SignatureAlgorithm{oracle.PS256, oracle.ES256, oracle.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := theirs.Verify(public)
	var claims map[string]any
	if err := errors.Join(err, json.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return theirs.Signatures[0].Protected, claims
}

// TestSigned: by every algorithm, and without asking for a key to encrypt with.
func TestSigned(t *testing.T) {
	h := newHouse(t)
	for alg, signer := range h.signers {
		e, err := h.sealer().Prepare(t.Context(), client.Client{ID: "c1"}, client.Protection{Sign: alg, Enc: "A256GCM"})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := e.Seal("JWT", said)
		if err != nil {
			t.Fatal(err)
		}
		header, claims := opened(t, signed, signer.Key().Public())
		if header.Algorithm != string(alg) || header.ExtraHeaders[oracle.HeaderType] != "JWT" || header.KeyID != "ours" {
			t.Errorf("header %+v", header)
		}
		if diff := cmp.Diff(said, claims); diff != "" {
			t.Error(diff)
		}
	}
	if h.asked != nil {
		t.Errorf("asked for %v", h.asked)
	}
}

// TestSignedThenEncrypted (CRY-08): only the client's key opens the answer, and what it finds is signed.
func TestSignedThenEncrypted(t *testing.T) {
	h := newHouse(t)
	for _, enc := range jose.EncryptionEncs() {
		h.asked = nil
		e, err := h.sealer().Prepare(t.Context(), client.Client{ID: "c1"}, client.Protection{Sign: jose.ES256, Alg: "RSA-OAEP", Enc: enc})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := e.Seal("token-introspection+jwt", said)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := oracle.ParseEncryptedCompact(sealed,
			[]oracle.KeyAlgorithm{oracle.RSA_OAEP}, []oracle.ContentEncryption{oracle.ContentEncryption(enc)})
		if err != nil {
			t.Fatal(err)
		}
		if theirs.Header.KeyID != "theirs" || theirs.Header.ExtraHeaders[oracle.HeaderContentType] != "JWT" {
			t.Errorf("header %+v", theirs.Header)
		}
		signed, err := theirs.Decrypt(h.private)
		if err != nil {
			t.Fatal(err)
		}
		header, claims := opened(t, string(signed), h.signers[jose.ES256].Key().Public())
		if header.ExtraHeaders[oracle.HeaderType] != "token-introspection+jwt" {
			t.Errorf("header %+v", header)
		}
		if diff := cmp.Diff(said, claims); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"c1 RSA-OAEP"}, h.asked); diff != "" {
			t.Error(diff)
		}
	}
}

// TestNothingIsSealed: KY-04, a missing key shows before the answer, and in no case is there an answer that is less protected.
func TestNothingIsSealed(t *testing.T) {
	h := newHouse(t)
	for name, p := range map[string]client.Protection{
		"KY-04 no key":             {Sign: jose.ES256, Alg: "ECDH-ES", Enc: "A256GCM"},
		"encrypted and not signed": {Alg: "RSA-OAEP", Enc: "A256GCM"},
		"neither":                  {},
	} {
		e, err := h.sealer().Prepare(t.Context(), client.Client{ID: "c1"}, p)
		if err == nil {
			t.Errorf("%s: prepared", name)
		}
		if p.Alg == "ECDH-ES" && jose.KindOf(err) != jose.KeyRefused {
			t.Errorf("%s: the reason is lost: %v", name, err)
		}
		if sealed, err := e.Seal("JWT", said); err == nil || sealed != "" {
			t.Errorf("%s: %s", name, sealed)
		}
	}
	for name, p := range map[string]client.Protection{
		"an enc that nobody offers": {Sign: jose.ES256, Alg: "RSA-OAEP", Enc: "A192GCM"},
		"the signer fails":          {Sign: jose.ES256, Alg: "RSA-OAEP", Enc: "A256GCM"},
	} {
		e, err := h.sealer().Prepare(t.Context(), client.Client{ID: "c1"}, p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Enc == "A256GCM" {
			h.down = errors.New("no key")
		}
		if sealed, err := e.Seal("JWT", said); err == nil || sealed != "" {
			t.Errorf("%s: %s", name, sealed)
		}
		h.down = nil
	}
}
