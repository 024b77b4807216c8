package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math"
	"math/big"
	"strings"
	"testing"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
)

var offered = []oracle.SignatureAlgorithm{oracle.PS256, oracle.ES256, oracle.EdDSA}

// TestVectors verifies the published tokens.
func TestVectors(t *testing.T) {
	v := published(t)
	proofs := map[string]struct{ compact, jkt, htm string }{
		"RFC 9449 token request":      {v.RFC9449.TokenProof, v.RFC9449.JKT, "POST"},
		"RFC 9449 refresh request":    {v.RFC9449.RefreshProof, v.RFC9449.JKT, "POST"},
		"RFC 9449 resource request":   {v.RFC9449.ResourceProof, v.RFC9449.JKT, "GET"},
		"Mastercard token request":    {v.Mastercard.TokenProof, v.Mastercard.Expected.DPoPThumbprint, "POST"},
		"Mastercard resource request": {v.Mastercard.ResourceProof, v.Mastercard.Expected.DPoPThumbprint, "GET"},
	}
	for name, proof := range proofs {
		t.Run(name, func(t *testing.T) {
			j, err := proofDoor.Parse(proof.compact)
			if err != nil {
				t.Fatal(err)
			}
			if got := j.Header().Key.Thumbprint(); got != proof.jkt {
				t.Errorf("thumbprint %s, want %s", got, proof.jkt)
			}
			o, err := j.Verify(j.Header().Key)
			if htm, _, _ := o.String("htm"); err != nil || htm != proof.htm {
				t.Errorf("htm %q, error %v", htm, err)
			}
		})
	}
	assertions := map[string]struct {
		compact, key, claim, want string
	}{
		"Mastercard assertion": {v.Mastercard.Assertion, string(v.Mastercard.PublicJWK), "sub", v.Mastercard.ClientID},
		"Thales assertion":     {v.Thales.Assertion, string(v.Thales.JWK), "iss", "your_issuer_id"},
	}
	for name, assertion := range assertions {
		t.Run(name, func(t *testing.T) {
			j, err := assertionDoor.Parse(assertion.compact)
			if err != nil {
				t.Fatal(err)
			}
			set, err := jose.ParseKeySet([]byte(`{"keys":[`+assertion.key+`]}`), 20)
			if err != nil {
				t.Fatal(err)
			}
			o, err := j.Verify(set.Select(j.Header(), 10)...)
			if got, _, _ := o.String(assertion.claim); err != nil || got != assertion.want {
				t.Errorf("%s %q, error %v", assertion.claim, got, err)
			}
			_, err = j.Verify(parseKey(t, string(v.RFC9449.JWK)))
			refused(t, err, jose.SignatureInvalid)
		})
	}
	t.Run("Mastercard access token", func(t *testing.T) {
		j, err := assertionDoor.Parse(v.Mastercard.AccessToken) // with x5t#S256 and cty
		if err != nil {
			t.Fatal(err)
		}
		cnf, _, err := j.Unverified().Object("cnf")
		if jkt, _, _ := cnf.String("jkt"); err != nil || jkt != v.Mastercard.Expected.AccessTokenJKT {
			t.Errorf("cnf.jkt %q, error %v", jkt, err)
		}
	})
}

// remote is a key that lives elsewhere: it is a crypto.Signer and nothing more, and remembers what it was asked for.
type remote struct {
	inner crypto.Signer
	opts  crypto.SignerOpts
	err   error
}

func (r *remote) Public() crypto.PublicKey { return r.inner.Public() }

func (r *remote) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if r.opts = opts; r.err != nil {
		return nil, r.err
	}
	return r.inner.Sign(random, digest, opts)
}

// TestSign signs with every algorithm, with local and remote keys, and lets both our door and go-jose verify.
func TestSign(t *testing.T) {
	for _, name := range jose.Algs() {
		alg := jose.Alg(name)
		local, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		for kind, key := range map[string]crypto.Signer{"local": local, "remote": &remote{inner: local}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				signer, err := jose.NewSigner(alg, "k 1\"<é", key)
				if err != nil {
					t.Fatal(err)
				}
				claims := map[string]any{"iss": "https://as.example/?a=1&b=<2>", "exp": 1760028725, "x": []int{1}}
				compact, err := signer.Sign("at+jwt", claims)
				if err != nil {
					t.Fatal(err)
				}
				const payload = `{"exp":1760028725,"iss":"https://as.example/?a=1&b=<2>","x":[1]}`
				if got := string(unb64(t, strings.Split(compact, ".")[1])); got != payload {
					t.Errorf("payload %s, want %s", got, payload)
				}
				door := jose.Door{MaxBytes: 4096, Types: []string{"at+jwt"}}
				j, err := door.Parse(compact)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(jose.Header{Alg: alg, Typ: "at+jwt", Kid: "k 1\"<é"}, j.Header()); diff != "" {
					t.Error(diff)
				}
				if _, err := j.Verify(signer.Key()); err != nil {
					t.Error(err)
				}
				if _, err := j.Verify(parseKey(t, marshal(t, signer.Key()))); err != nil {
					t.Errorf("with the key as published: %v", err)
				}
				theirs, err := oracle.ParseSignedCompact(compact, offered)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := theirs.Verify(local.Public()); err != nil || string(got) != payload {
					t.Errorf("go-jose: %s, %v", got, err)
				}
			})
		}
	}
}

func TestSignPS256Salt(t *testing.T) {
	key := &remote{inner: rsaKey(t)}
	signer, err := jose.NewSigner(jose.PS256, "k1", key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign("", struct{}{}); err != nil {
		t.Fatal(err)
	}
	opts, ok := key.opts.(*rsa.PSSOptions)
	if !ok || opts.Hash != crypto.SHA256 || opts.SaltLength != rsa.PSSSaltLengthEqualsHash {
		t.Errorf("the key was asked to sign with %#v", key.opts)
	}
}

// TestSignES256Padding signs until r or s is short by at least one byte, which a remote key's DER does not pad.
func TestSignES256Padding(t *testing.T) {
	signer, err := jose.NewSigner(jose.ES256, "k1", &remote{inner: ecKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	for short := 0; short < 2; {
		compact, err := signer.Sign("", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := assertionDoor.Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Verify(signer.Key()); err != nil {
			t.Fatal(err)
		}
		if mac := j.Signature(); mac[0] == 0 || mac[32] == 0 {
			short++
		}
	}
}

// TestVerifyTheirs verifies tokens and keys that go-jose made.
func TestVerifyTheirs(t *testing.T) {
	for alg, key := range map[oracle.SignatureAlgorithm]crypto.Signer{oracle.PS256: rsaKey(t), oracle.ES256: ecKey(t), oracle.EdDSA: edKey()} {
		t.Run(string(alg), func(t *testing.T) {
			opts := (&oracle.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1")
			signer, err := oracle.NewSigner(oracle.SigningKey{Algorithm: alg, Key: key}, opts)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign([]byte(claims))
			if err != nil {
				t.Fatal(err)
			}
			compact, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			j, err := assertionDoor.Parse(compact)
			if err != nil {
				t.Fatal(err)
			}
			theirs := oracle.JSONWebKey{Key: key.Public(), KeyID: "k1", Use: "sig", Algorithm: string(alg)}
			k := parseKey(t, marshal(t, theirs))
			if _, err := j.Verify(k); err != nil {
				t.Error(err)
			}
			if want, err := theirs.Thumbprint(crypto.SHA256); err != nil || b64(want) != k.Thumbprint() {
				t.Errorf("thumbprint %s, go-jose says %s, %v", k.Thumbprint(), b64(want), err)
			}
		})
	}
	t.Run("embedded key", func(t *testing.T) {
		opts := (&oracle.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
		signer, err := oracle.NewSigner(oracle.SigningKey{Algorithm: oracle.ES256, Key: ecKey(t)}, opts)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		compact, _ := signed.CompactSerialize()
		j, err := proofDoor.Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Verify(j.Header().Key); err != nil {
			t.Error(err)
		}
	})
}

func TestSignerRefuses(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t)
	huge := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 4096), big.NewInt(1))
	for name, test := range map[string]struct {
		alg jose.Alg
		kid string
		key crypto.Signer
	}{
		"no kid":                {jose.ES256, "", ec},
		"long kid":              {jose.ES256, strings.Repeat("k", 257), ec},
		"key of another alg":    {jose.PS256, "k1", ec},
		"unknown alg":           {"RS256", "k1", rsaKey(t)},
		"no alg":                {"", "k1", ec},
		"RSA 1024":              {jose.PS256, "k1", weak},
		"P-384":                 {jose.ES256, "k1", newEC(t, elliptic.P384())},
		"a public key by value": {jose.ES256, "k1", publicOnly{ec.PublicKey}},
		"RSA 4097":              {jose.PS256, "k1", publicOnly{&rsa.PublicKey{N: huge, E: 65537}}},
	} {
		if _, err := jose.NewSigner(test.alg, test.kid, test.key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, alg := range []jose.Alg{"", "RS256", "Ed25519"} {
		if _, err := jose.GenerateKey(alg); err == nil {
			t.Errorf("made a key for %s", alg)
		}
	}
	signer, err := jose.NewSigner(jose.ES256, "k1", ec)
	if err != nil {
		t.Fatal(err)
	}
	for _, claims := range []any{nil, "x", 1, []int{1}, math.NaN(), map[string]any{"a": math.Inf(1)}} {
		if compact, err := signer.Sign("JWT", claims); err == nil {
			t.Errorf("signed %v as %s", claims, compact)
		}
	}
	broken := &remote{inner: ec, err: errors.New("no connection")}
	if signer, err = jose.NewSigner(jose.ES256, "k1", broken); err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign("JWT", struct{}{}); !errors.Is(err, broken.err) {
		t.Errorf("the signer's failure came out as %v", err)
	}
}

// publicOnly claims to be the private side of any public key.
type publicOnly struct{ public crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.public }

func (p publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("cannot sign")
}
