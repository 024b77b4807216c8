package client

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/certificate/certificatetest"
	"authserver/internal/oauth"
	"authserver/internal/replay"

	"github.com/google/go-cmp/cmp"
)

// vouchers are anchors that keep how often they were asked.
type vouchers struct {
	certificate.Authorities
	asked int
}

func (v *vouchers) Verify(c certificate.Certificate, now time.Time) error {
	v.asked++
	return v.Authorities.Verify(c, now)
}

// certified is a bench that trusts an authority.
func certified(t *testing.T, root *certificatetest.Authority, v Vetting, clients ...Client) (*bench, *vouchers) {
	t.Helper()
	authorities, err := certificate.ParseAuthorities(root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	b, trusted := newBench(t, v, clients...), &vouchers{Authorities: authorities}
	b.Anchors = trusted
	return b, trusted
}

// showing runs one authentication over a connection with the certificate.
func (b *bench) showing(c tls.Certificate, body string, headers ...string) (Caller, error) {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if c.Leaf != nil {
		r = certificatetest.Bearing(b.t, r, c)
	}
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Authenticate(r.Context(), r, form, b.clock.now())
}

// byDN is a client of tls_client_auth.
func byDN(id, dn string) Client {
	return Client{ID: id, Metadata: Metadata{TokenEndpointAuthMethod: TLSClientAuth, TLSClientAuthSubjectDN: dn}}
}

// published is the JWK of a certificate's key, with that.
func published(t testing.TB, c tls.Certificate) object {
	t.Helper()
	jwk := signer{Key: c.PrivateKey.(crypto.Signer)}.JWK()
	jwk["x5c"] = []string{base64.StdEncoding.EncodeToString(c.Leaf.Raw)}
	return jwk
}

// bySelf is a client of self_signed_tls_client_auth.
func bySelf(id string, keys ...any) Client {
	return Client{ID: id, Metadata: Metadata{TokenEndpointAuthMethod: SelfSignedTLSClientAuth, JWKS: json.RawMessage(jwks(keys...))}}
}

// renewed is another certificate of the same key and name.
func renewed(t testing.TB, c tls.Certificate) tls.Certificate {
	t.Helper()
	return certificatetest.SelfSignedFor(t, c.PrivateKey.(crypto.Signer))
}

// TestByCertificate (TL-01, req CA-10, CA-11): a client is proven by the certificate that it registered, and nothing of that is
// used up.
func TestByCertificate(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	ours := root.Issue(t, certificatetest.Named("kim"), func(c *x509.Certificate) { c.DNSNames = []string{"kim.example"} })
	own := certificatetest.SelfSigned(t, func(c *x509.Certificate) { c.IsCA = true }) // as openssl req -x509 makes them
	byHost := Client{ID: "host", Metadata: Metadata{TokenEndpointAuthMethod: TLSClientAuth, TLSClientAuthSANDNS: "KIM.example"}}
	b, _ := certified(t, root, Vetting{}, byDN("dn", "cn=kim"), byHost, bySelf("self", ecSigner("k1"), published(t, own)))
	for name, test := range map[string]struct {
		c  tls.Certificate
		id string
	}{
		"TL-01 by its name":             {ours, "dn"},
		"TL-01 by an alternative name":  {ours, "host"},
		"self-signed, as it registered": {own, "self"},
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := b.showing(test.c, body("client_id", test.id))
			if err != nil || caller.Client.ID != test.id || len(caller.Uses) > 0 {
				t.Fatal(caller, err)
			}
			b.registry.spends = nil
			if err := b.Records.Spend(t.Context(), caller); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]replay.Spend{{ClientID: test.id, ClientVersion: 1}}, b.registry.spends); diff != "" {
				t.Errorf("the join alone: %s", diff)
			}
		})
	}
}

// TestNotCertified (TL-04 to TL-06, CA-61): whatever in our records or of the chain is the cause, the answer is one and the same
// after the same work, and the log has the cause.
func TestNotCertified(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	ours, own := root.Issue(t, certificatetest.Named("kim")), certificatetest.SelfSigned(t, certificatetest.Named("kim"))
	forServers := root.Issue(t, certificatetest.Named("kim"), func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	key := ecSigner("k1")
	gone := bySelf("dead")
	gone.Metadata.JWKS, gone.Metadata.JWKSURI = nil, "https://127.0.0.1:1/"
	broken := byDN("broken", "CN=kim")
	broken.Metadata.TLSClientAuthSubjectDN = "no name"
	swapped := published(t, own)
	swapped["x"], swapped["y"] = key.JWK()["x"], key.JWK()["y"]
	asKey := signer{Kid: "own", Key: own.PrivateKey.(crypto.Signer)}
	usedForElse := published(t, own)
	usedForElse["use"] = "enc"
	b, trusted := certified(t, root, Vetting{}, byDN("c1", "CN=kim"), byDN("c2", "CN=sam"), byDN("longer", "CN=kim,C=CA"), broken,
		bySelf("self", published(t, own)), bySelf("key", asKey), bySelf("swapped", swapped), bySelf("enc", usedForElse), gone,
		inline("assertion", asKey), Client{ID: "nothing"})
	var first string
	for name, test := range map[string]struct {
		c         tls.Certificate
		id, cause string
	}{
		"unknown client":                       {ours, "nobody", "is unknown or deleted"},
		"CA-62 the client in another case":     {ours, "C1", "is unknown or deleted"},
		"CA-62 a space":                        {ours, "c1 ", "is unknown or deleted"},
		"TL-05 another subject":                {ours, "c2", `the certificate of "CN=kim" has another subject`},
		"TL-05 one part less":                  {ours, "longer", "another subject"},
		"a subject that cannot be read":        {ours, "broken", "another subject"},
		"TL-04 nobody vouches for it":          {own, "c1", "unknown authority"},
		"TL-04 another's authority":            {certificatetest.NewAuthority(t).Issue(t, certificatetest.Named("kim")), "c1", "unknown authority"},
		"TL-04 for servers":                    {forServers, "c1", "incompatible key usage"},
		"vouched for, of a self-signed client": {ours, "self", "no x5c"},
		"another self-signed one":              {certificatetest.SelfSigned(t, certificatetest.Named("kim")), "self", "no x5c"},
		"another of the same key":              {renewed(t, own), "self", "no x5c"},
		"its key is registered, and no x5c":    {own, "key", "no x5c"},
		"registered beside another key":        {own, "swapped", "no x5c"},
		"registered for encryption":            {own, "enc", "no x5c"},
		"no answer from the jwks_uri":          {own, "dead", "the jwks_uri gives no key set"},
		"CA-02 registered for private_key_jwt": {own, "assertion", "registered for another authentication method"},
		"registered for nothing that we know":  {ours, "nothing", "registered for another authentication method"},
		"a client_id longer than any that is":  {ours, strings.Repeat("c", 5000), `the certificate of "CN=kim": its client is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			trusted.asked = 0
			caller, err := b.showing(test.c, body("client_id", test.id))
			if reason(t, err) != oauth.ClientNotProven || caller.Client.ID != "" || caller.Uses != nil {
				t.Fatalf("%v %v", caller, err)
			}
			w := httptest.NewRecorder()
			(oauth.Pages{Base: issuer}).Write(w, nil, err)
			answer := fmt.Sprint(w.Code, w.Header(), w.Body)
			if first == "" {
				first = answer
			}
			if diff := cmp.Diff(first, answer); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(err.Error(), test.cause) {
				t.Errorf("the log says %q, want %q", err, test.cause)
			}
			if strings.Contains(test.cause, "is unknown") && strings.Contains(err.Error(), test.id[:min(len(test.id), 128)]+`"`) {
				t.Errorf("the log repeats whatever came as client_id: %q", err)
			}
			if trusted.asked != 1 {
				t.Errorf("the chain was judged %d times", trusted.asked)
			}
		})
	}
	if len(b.registry.spends) > 0 {
		t.Error("a certificate that proves nothing burns something")
	}
}

// TestChainBeforeRecord: the chain is judged before anything is looked up, so that a slow judgement tells nothing.
func TestChainBeforeRecord(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	b, _ := certified(t, root, Vetting{}, byDN("c1", "CN=kim"))
	b.Anchors = anchorsFunc(func() error {
		if b.registry.looks > 0 {
			t.Error("the record was looked up before")
		}
		return nil
	})
	if _, err := b.showing(root.Issue(t, certificatetest.Named("kim")), body("client_id", "c1")); err != nil {
		t.Error(err)
	}
}

type anchorsFunc func() error

func (f anchorsFunc) Verify(certificate.Certificate, time.Time) error { return f() }

// TestCertificateBesideAssertion (CA-74, req CA-13): with an assertion the certificate of the connection is nobody's name.
func TestCertificateBesideAssertion(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	key, own := ecSigner("k1"), root.Issue(t, certificatetest.Named("kim"))
	expired := root.Issue(t, func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Hour) })
	b, trusted := certified(t, root, Vetting{}, inline("c1", key), byDN("c2", "CN=kim"))
	for name, c := range map[string]tls.Certificate{
		"CA-74 of another client": own, "self-signed": certificatetest.SelfSigned(t), "expired": expired,
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := b.showing(c, bodyOf(assertionBy(key, "c1", t0)))
			if err != nil || caller.Client.ID != "c1" || len(caller.Uses) != 1 || trusted.asked > 0 {
				t.Error(caller, err, trusted.asked)
			}
		})
	}
	for name, test := range map[string]struct {
		body string
		want oauth.Reason
	}{
		"CA-74 another's client_id beside it":           {bodyOf(assertionBy(key, "c1", t0)) + "&client_id=c2", oauth.AssertionClientID},
		"CA-74 an assertion that is none beside it":     {bodyOf("x") + "&client_id=c2", oauth.AssertionMalformed},
		"CA-74 an assertion for the certificate's":      {bodyOf(assertionBy(key, "c2", t0)), oauth.ClientNotProven},
		"CA-74 by a stranger's key beside it":           {bodyOf(assertionBy(ecSigner("k1"), "c2", t0)) + "&client_id=c2", oauth.ClientNotProven},
		"CA-02 an assertion's type without one, beside": {body("client_assertion_type", assertionType, "client_id", "c2"), oauth.ClientAuthMissing},
		"CA-60 a secret beside it":                      {body("client_id", "c2", "client_secret", "x"), oauth.ClientAuthMethod},
	} {
		t.Run(name, func(t *testing.T) {
			if caller, err := b.showing(own, test.body); reason(t, err) != test.want || caller.Client.ID != "" {
				t.Errorf("%v %v, want %s", caller, err, test.want)
			}
		})
	}
	if _, err := b.showing(own, body("client_id", "c2"), "Authorization", "Basic YzI6eA=="); reason(t, err) != oauth.ClientAuthMethod {
		t.Errorf("CA-60 Basic beside it: %v", err)
	}
}

// TestNoCertificate (CA-63, TL-09): without a certificate, or where none is asked for, nothing is looked up.
func TestNoCertificate(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	ours := root.Issue(t, certificatetest.Named("kim"))
	expired := root.Issue(t, certificatetest.Named("kim"), func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Hour) })
	for name, test := range map[string]struct {
		c       tls.Certificate
		body    string
		offered bool
		want    oauth.Reason
		says    string
	}{
		"CA-63 nothing":                   {tls.Certificate{}, "", true, oauth.ClientAuthMissing, "no client certificate"},
		"TL-09 only a client_id":          {tls.Certificate{}, body("client_id", "c1"), true, oauth.ClientAuthMissing, "no client certificate"},
		"CA-10 no client_id":              {ours, "", true, oauth.ClientAuthMissing, "client_id"},
		"CA-10 an empty client_id":        {ours, body("client_id", ""), true, oauth.ClientAuthMissing, "client_id"},
		"TL-04 expired":                   {expired, body("client_id", "c1"), true, oauth.CertificateRefused, "expired"},
		"mutual TLS is not offered":       {ours, body("client_id", "c1"), false, oauth.ClientAuthMissing, "client_assertion is missing"},
		"not offered, and no certificate": {tls.Certificate{}, body("client_id", "c1"), false, oauth.ClientAuthMissing, "client_assertion is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := certified(t, root, Vetting{}, byDN("c1", "CN=kim"))
			if !test.offered {
				b.Anchors = nil
			}
			_, err := b.showing(test.c, test.body)
			refusal, _ := errors.AsType[*oauth.Error](err)
			if reason(t, err) != test.want || refusal.Status() != http.StatusUnauthorized || !strings.Contains(refusal.Description, test.says) {
				t.Errorf("%v, want %s with %q", err, test.want, test.says)
			}
			if b.registry.looks > 0 {
				t.Error("something was looked up")
			}
		})
	}
}

// TestCertificateRecordChanges (DR-23): a record that was judged from memory and has changed since is judged anew, both ways.
func TestCertificateRecordChanges(t *testing.T) {
	root := certificatetest.NewAuthority(t)
	kim, sam := root.Issue(t, certificatetest.Named("kim")), root.Issue(t, certificatetest.Named("sam"))
	b, _ := certified(t, root, Vetting{}, byDN("c1", "CN=kim"))
	runs := 0
	prove := func(c tls.Certificate) error {
		runs = 0
		return Fresh(func() error {
			runs++
			caller, err := b.showing(c, body("client_id", "c1"))
			if err != nil {
				return err
			}
			return b.Records.Spend(t.Context(), caller)
		})
	}
	if err := prove(kim); err != nil || runs != 1 {
		t.Fatal(err, runs)
	}
	b.registry.put(byDN("c1", "CN=sam"))
	if err := prove(sam); err != nil || runs != 2 {
		t.Errorf("the new certificate: %v after %d runs", err, runs)
	}
	if err := prove(kim); reason(t, err) != oauth.ClientNotProven || runs != 1 {
		t.Errorf("the old certificate: %v after %d runs", err, runs)
	}
	b.registry.put(byDN("c1", "CN=kim"))
	if err := prove(sam); reason(t, err) != oauth.ClientNotProven || runs != 2 {
		t.Errorf("the certificate of a moment ago: %v after %d runs", err, runs)
	}
	b.registry.down = errors.New("down")
	if err := prove(sam); !errors.Is(err, b.registry.down) {
		t.Errorf("with the store down: %v", err)
	}
}

// TestCertificateRotation: a certificate that was published behind the jwks_uri a moment ago proves its client at once; one that
// is unknown causes a fetch every 30 seconds at most, and one that was withdrawn ends with the set's age.
func TestCertificateRotation(t *testing.T) {
	old, next := certificatetest.SelfSigned(t), certificatetest.SelfSigned(t)
	h := newHost(t, serves(jwks(published(t, old))))
	c := bySelf("c1")
	c.Metadata.JWKS, c.Metadata.JWKSURI = nil, h.URL
	b, _ := certified(t, certificatetest.NewAuthority(t), h.vetting(), c)
	wants := func(when string, shown tls.Certificate, want bool, hits int64) {
		t.Helper()
		_, err := b.showing(shown, body("client_id", "c1"))
		if err == nil != want || err != nil && reason(t, err) != oauth.ClientNotProven {
			t.Errorf("%s: %v", when, err)
		}
		h.wantHits(t, when, hits)
	}
	wants("the old one", old, true, 1)
	h.answer(serves(jwks(published(t, old), published(t, next))))
	wants("the new one", next, true, 2)
	wants("an unknown one", certificatetest.SelfSigned(t), false, 2)
	h.answer(serves(jwks(published(t, next))))
	wants("one that was withdrawn, until the set's age", old, true, 2)
	b.clock.advance(5 * time.Minute)
	wants("one that was withdrawn", old, false, 4)
	wants("the one that stayed", next, true, 4)
}
