package authorize

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/response"

	oracle "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// vault has the server's keys, and the one that c1 is encrypted for.
type vault struct {
	signers map[jose.Alg]*jose.Signer
	private *rsa.PrivateKey // c1's
	down    error           // of the signer
	missing error           // instead of c1's key
}

// newVault makes a house seal what it answers.
func newVault(h *house) *vault {
	h.Helper()
	made, err := makeKeys()
	if err != nil {
		h.Fatal(err)
	}
	v := *made
	h.Sealer, h.IDTokens = response.Sealer{Signer: &v, Keys: &v}, idtoken.Tokens{Issuer: issuer, Keys: &v}
	return &v
}

// makeKeys makes the keys of all vaults: those of RSA take their time.
var makeKeys = sync.OnceValues(func() (*vault, error) {
	v := &vault{signers: map[jose.Alg]*jose.Signer{}}
	for _, alg := range []jose.Alg{jose.PS256, jose.ES256} {
		private, err := jose.GenerateKey(alg)
		if err == nil {
			v.signers[alg], err = jose.NewSigner(alg, "our "+string(alg), private)
		}
		if err != nil {
			return nil, err
		}
	}
	var err error
	v.private, err = rsa.GenerateKey(rand.Reader, 2048)
	return v, err
})

// Key is the server's of a kid.
func (v *vault) Key(kid string) *jose.Key {
	if signer := v.signers[jose.Alg(strings.TrimPrefix(kid, "our "))]; signer != nil {
		return signer.Key()
	}
	return nil
}

func (v *vault) Sign(alg jose.Alg, typ string, claims any) (string, error) {
	if v.down != nil {
		return "", v.down
	}
	return v.signers[alg].Sign(typ, claims)
}

func (v *vault) Recipient(_ context.Context, _ client.Client, alg string) (*jose.Recipient, error) {
	if v.missing != nil {
		return nil, v.missing
	}
	public := oracle.JSONWebKey{Key: v.private.Public(), KeyID: "theirs", Use: "enc"}
	text, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		return nil, err
	}
	set, err := jose.ParseKeySet(text, 1)
	if err != nil {
		return nil, err
	}
	return set.Recipient(alg)
}

// open has go-jose decrypt and verify an answer, and returns the header and what it says.
func (v *vault) open(t *testing.T, compact string, alg jose.Alg, enc string) (oracle.Header, map[string]any) {
	t.Helper()
	if enc != "" {
		sealed, err := oracle.ParseEncryptedCompact(compact, []oracle.KeyAlgorithm{oracle.RSA_OAEP},
			[]oracle.ContentEncryption{oracle.ContentEncryption(enc)})
		if err != nil {
			t.Fatal(err)
		}
		inside, err := sealed.Decrypt(v.private)
		if err != nil || sealed.Header.ExtraHeaders["cty"] != "JWT" || sealed.Header.KeyID != "theirs" {
			t.Fatalf("%+v: %v", sealed.Header, err)
		}
		compact = string(inside)
	}
	signed, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.SignatureAlgorithm(alg)})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := signed.Verify(v.signers[alg].Key().Public())
	var claims map[string]any
	if err := errors.Join(err, json.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return signed.Signatures[0].Protected, claims
}

// register changes what c1 is registered for.
func (h *house) register(edit func(*client.Metadata)) {
	c := h.memory.clients["c1"]
	edit(&c.Metadata)
	h.memory.clients["c1"] = c
}

func inMode(mode string) func(*grant.Pushed) {
	return func(p *grant.Pushed) { p.ResponseMode = mode }
}

// AZ-24, JARM-01…03, JARM-05: an answer is one JWT and nothing beside it, signed and encrypted as the client registered,
// and so is a refusal: the person's, and the server's before anybody was asked.
func TestSignedAnswers(t *testing.T) {
	const encrypted = "A256GCM"
	for _, test := range []struct {
		mode, enc string
		alg       jose.Alg
	}{{grant.QueryJWT, "", jose.PS256}, {grant.QueryJWT, "", jose.ES256}, {grant.QueryJWT, encrypted, jose.ES256},
		{grant.FormPostJWT, "", jose.PS256}, {grant.FormPostJWT, encrypted, jose.PS256}} {
		for name, answers := range map[string]func(h *house, b *flow.Browser) *flow.Page{
			"yes": func(h *house, b *flow.Browser) *flow.Page {
				return h.submit(b, h.upTo(b, h.push(inMode(test.mode)), "kim", "decision"))
			},
			"no": func(h *house, b *flow.Browser) *flow.Page {
				return h.submit(b, h.upTo(b, h.push(inMode(test.mode)), "kim", "decision"), "decision", "deny")
			},
			"nobody is asked": func(h *house, b *flow.Browser) *flow.Page {
				return h.visit(b, h.push(inMode(test.mode), func(p *grant.Pushed) { p.Prompt = []string{"none"} }))
			},
		} {
			h := newHouse(t, issuer)
			v := newVault(h)
			h.register(func(m *client.Metadata) {
				if test.alg != jose.PS256 { // which is the default
					m.AuthorizationSignedResponseAlg = string(test.alg)
				}
				if test.enc != "" {
					m.AuthorizationEncryptedResponseAlg, m.AuthorizationEncryptedResponseEnc = "RSA-OAEP", test.enc
				}
			})
			p := answers(h, h.browser())
			compact, err := p.ReadResponse(callback)
			if err != nil {
				t.Fatalf("%v %s: %v: %s", test, name, err, p)
			}
			header, claims := v.open(t, compact, test.alg, test.enc)
			if header.KeyID != "our "+string(test.alg) || header.ExtraHeaders["typ"] != "JWT" {
				t.Errorf("%v %s: header %v", test, name, header)
			}
			want := map[string]any{
				"iss": issuer, "aud": "c1", "iat": float64(h.now.Unix()), "exp": float64(h.now.Unix() + 300), "state": "a state",
			}
			switch code, _ := claims["code"].(string); name {
			case "yes":
				want["code"] = code
				if string(h.memory.approvals[0].CodeHash) != string(oauth.Secret(code).Hash()) {
					t.Errorf("%v: another code: %v", test, claims)
				}
			case "no":
				want["error"], want["error_description"] = "access_denied", "the person said no"
			default:
				want["error"], want["error_description"] = "login_required", claims["error_description"]
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("%v %s: %s", test, name, diff)
			}
		}
	}
}

// A client that sent no state is told none.
func TestSignedAnswerWithoutState(t *testing.T) {
	h := newHouse(t, issuer)
	v, b := newVault(h), h.browser()
	p := h.submit(b, h.upTo(b, h.push(inMode(grant.QueryJWT), func(p *grant.Pushed) { p.State = "" }), "kim", "decision"))
	compact, err := p.ReadResponse(callback)
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := v.open(t, compact, jose.PS256, ""); len(claims) != 5 || claims["state"] != nil {
		t.Errorf("%v", claims)
	}
}

// AZ-25: the form goes to the redirect URI by the one script that the policy lets run, or by its button, and what stands in
// it stays text.
func TestPostedAnswers(t *testing.T) {
	h := newHouse(t, issuer)
	v := newVault(h)
	const odd = "https://client.example/o'cb?a=%22%3E&b=c"
	h.register(func(m *client.Metadata) {
		m.RedirectURIs, m.ClientName = []string{odd}, `"><script>alert(1)</script>`
	})
	b := h.browser()
	state := `"><script>alert('x')</script>&<b>`
	target := h.push(inMode(grant.FormPostJWT), func(p *grant.Pushed) {
		p.RedirectURI, p.State, p.UILocales = odd, state, []string{"fr"}
	})
	p := h.submit(b, h.upTo(b, target, "kim", "decision"))
	form, header := p.Form("response"), p.Exchange.ResponseHeader
	if form == nil || form.Action != odd || form.Method != http.MethodPost || len(form.Fields) != 1 {
		t.Fatalf("%+v", form)
	}
	policy := header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "; script-src 'sha256-") || !strings.Contains(policy, "; form-action https://client.example;") ||
		strings.Contains(policy, "unsafe") || header.Get("Cache-Control") != "no-store" ||
		header.Get("Referrer-Policy") != "no-referrer" || header.Get("Content-Language") != "fr" {
		t.Errorf("%v", header)
	}
	if n := strings.Count(p.Exchange.ResponseBody, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if _, claims := v.open(t, form.Fields.Get("response"), jose.PS256, ""); claims["state"] != state {
		t.Errorf("%v", claims)
	}
}

// No form of ours leads to a client that is answered by a form: that has a page, and a policy, of its own.
func TestPoliciesBeforePostedAnswers(t *testing.T) {
	for mode, want := range map[string]string{"": "'self' https:", grant.QueryJWT: "'self' https:", grant.FormPostJWT: "'self'"} {
		h := newHouse(t, issuer)
		newVault(h)
		b := h.browser()
		h.upTo(b, h.push(inMode(mode)), "kim", "decision")
		policy := b.Page.Exchange.ResponseHeader.Get("Content-Security-Policy")
		if !strings.Contains(policy, "; form-action "+want+"; ") {
			t.Errorf("%q: %s", mode, policy)
		}
	}
}

// JARM-05: whose client has no key to encrypt for is told so on a page. Nothing is granted, or refused, or said in the open,
// and when there is a key again the person goes on where they were.
func TestAnswersThatCannotBeSealed(t *testing.T) {
	missing := oauth.Refuse(oauth.EncryptionKeyMissing, "there is no key")
	for _, mode := range []string{grant.QueryJWT, grant.FormPostJWT} {
		for _, decision := range []string{"approve", "deny"} {
			h := newHouse(t, issuer)
			v, b := newVault(h), h.browser()
			h.register(encrypting)
			form := h.upTo(b, h.push(inMode(mode)), "kim", "decision")
			before := h.state()
			v.missing = missing
			h.refused(h.submit(b, form, "decision", decision), oauth.EncryptionKeyMissing)
			v.missing = outage{}
			p := h.submit(b, form, "decision", decision)
			if p.Exchange.Status != http.StatusServiceUnavailable || p.Location != "" {
				t.Errorf("an outage: %s", p)
			}
			v.missing = nil
			if h.state() != before {
				t.Error("something was decided")
			}
			compact, err := h.submit(b, form, "decision", decision).ReadResponse(callback)
			if err != nil {
				t.Fatal(err)
			}
			_, claims := v.open(t, compact, jose.ES256, "A128CBC-HS256")
			if (claims["code"] != nil) != (decision == "approve") {
				t.Errorf("%s: %v", decision, claims)
			}
		}
	}
	h := newHouse(t, issuer)
	newVault(h).missing = missing
	h.register(encrypting)
	unasked := h.push(inMode(grant.QueryJWT), func(p *grant.Pushed) { p.Prompt = []string{"none"} })
	h.refused(h.visit(h.browser(), unasked), oauth.EncryptionKeyMissing)
}

// encrypting is the registration of a client that wants its answers encrypted.
func encrypting(m *client.Metadata) {
	m.AuthorizationSignedResponseAlg = "ES256"
	m.AuthorizationEncryptedResponseAlg, m.AuthorizationEncryptedResponseEnc = "RSA-OAEP", "A128CBC-HS256"
}

// outage is an error of a key host that may do better later.
type outage struct{}

func (outage) Error() string   { return "no keys just now" }
func (outage) Temporary() bool { return true }

// A signer that fails leaves a code spent that nobody has, and says nothing in the open.
func TestAnswersThatCannotBeSigned(t *testing.T) {
	for _, mode := range []string{grant.QueryJWT, grant.FormPostJWT} {
		for _, decision := range []string{"approve", "deny"} {
			h := newHouse(t, issuer)
			v, b := newVault(h), h.browser()
			v.down = errors.New("the signer is broken")
			p := h.submit(b, h.upTo(b, h.push(inMode(mode)), "kim", "decision"), "decision", decision)
			if p.Exchange.Status != http.StatusInternalServerError || p.Location != "" ||
				strings.Contains(p.Exchange.ResponseBody, callback) {
				t.Errorf("%s %s: %s", mode, decision, p)
			}
		}
	}
}
