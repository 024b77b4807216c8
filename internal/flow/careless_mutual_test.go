package flow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates are what is wrong with a careless server where clients show certificates.
type certificates struct {
	alias    string          // where it asks for them; empty: nowhere
	taken    map[string]bool // members of registrations that it takes for another client's names
	names    map[string]bool // subjects that were registered, of which it hangs up on the second; nil: it does not
	unproven bool            // proofs mean nothing
	silent   bool            // no x-fapi-interaction-id comes back
	plain    bool            // without a certificate it says why on a page
	demands  bool            // every call needs a certificate by an authority, which alone it looks at
}

// mutualMetadata is what a careless server says of certificates.
func (s *careless) mutualMetadata() map[string]any {
	if s.alias == "" {
		return nil
	}
	return map[string]any{"tls_client_certificate_bound_access_tokens": true,
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt", byAuthority, byItself},
		"mtls_endpoint_aliases": map[string]any{
			"token_endpoint": s.alias + "/token", "registration_endpoint": s.alias + "/register",
			"introspection_endpoint": s.alias + "/introspect", "revocation_endpoint": s.alias + "/revoke",
			"pushed_authorization_request_endpoint": s.alias + "/par", "userinfo_endpoint": s.alias + "/userinfo"}}
}

// certified answers what has to do with certificates alone, if a request has.
func (s *careless) certified(w http.ResponseWriter, r *http.Request) bool {
	if id := r.Header.Get(interactionID); id != "" && !s.silent {
		w.Header().Set(interactionID, id)
	}
	if s.plain && r.TLS != nil && len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "a certificate, please", http.StatusBadRequest)
		return true
	}
	refuse := func(status int, code string) bool {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"error": code})
		return true
	}
	switch {
	case !s.demands || r.TLS == nil && r.URL.Path != "/token":
		return false
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return refuse(http.StatusBadRequest, "invalid_request")
	}
	leaf := r.TLS.PeerCertificates[0]
	return leaf.Issuer.String() == leaf.Subject.String() && refuse(http.StatusUnauthorized, "invalid_client")
}

// isTaken tells whether the last registration names what is another client's.
func (s *careless) isTaken() bool {
	for member := range s.registration {
		if s.taken[member] {
			return true
		}
	}
	if name, _ := s.registration["tls_client_auth_subject_dn"].(string); name != "" && s.names != nil {
		if s.names[name] {
			panic(http.ErrAbortHandler)
		}
		s.names[name] = true
	}
	return false
}

// boundTo is what a token is bound to, and its type.
func (s *careless) boundTo(r *http.Request) (cnf map[string]string, tokenType string) {
	proof, _ := Decode(r.Header.Get("DPoP"))
	if s.alias == "" || proof.JKT != "" && !s.unproven {
		return map[string]string{"jkt": proof.JKT}, "DPoP"
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return map[string]string{"x5t#S256": digest64(string(r.TLS.PeerCertificates[0].Raw))}, "Bearer"
	}
	return map[string]string{}, "Bearer"
}

// startMutual has a careless server listen once more, where it asks for certificates. What edits do is done to its TLS.
func startMutual(t *testing.T, edits ...func(*tls.Config)) (*careless, Registrant) {
	t.Helper()
	server, registrant := start(t)
	listener := httptest.NewUnstartedServer(server)
	listener.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	listener.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	for _, edit := range edits {
		edit(listener.TLS)
	}
	listener.StartTLS()
	t.Cleanup(listener.Close)
	server.alias = listener.URL
	registrant.Server.HTTP = NewHTTPClient(listener.Client().Transport, time.Minute)
	registrant.Certificate = vouchedFor(t)
	return server, registrant
}

// vouchedFor is a certificate that an authority has signed, with every kind of name unless it is edited, out of files.
func vouchedFor(t *testing.T, edits ...func(*x509.Certificate)) *Certificate {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	authority, signer := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}, nil, nil)
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "kim, client", Country: []string{"CA"}},
		DNSNames: []string{"client.example"}, IPAddresses: []net.IP{net.IPv6loopback},
		EmailAddresses: []string{"kim@client.example"},
		URIs:           []*url.URL{{Scheme: "https", Host: "client.example", Path: "/kim"}},
	}
	for _, edit := range edits {
		edit(template)
	}
	leaf, key := issue(template, authority, signer)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "client.pem"), filepath.Join(t.TempDir(), "client.key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: leaf.Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, err := ReadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
