package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"authserver/internal/certificate"
)

// vouching are anchors that vouch for one certificate.
type vouching struct{ known *x509.Certificate }

func (v vouching) Verify(c certificate.Certificate, _ time.Time) error {
	if !c.Leaf.Equal(v.known) {
		return errors.New("certificate: another")
	}
	return nil
}

// CA-13: where every call of a machine must bear a certificate, one without, or with one that nobody vouches for, is refused
// before anything is looked at; what everybody may read stays open.
func TestCertificateDemanded(t *testing.T) {
	c := certificates(t, 2)
	known, stranger := c[0], c[1]
	expired := *known
	expired.NotAfter = time.Now().Add(-time.Minute)
	call := func(path string, demand bool, prepare func(*http.Request)) (int, string) {
		t.Helper()
		s, _ := answering(func(http.ResponseWriter, *http.Request) error { return nil })
		s.Proxies, s.MutualTLS.Header = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, "Client-Cert"
		if demand {
			s.MutualTLS.Demand = vouching{known}
		}
		r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		r.RemoteAddr = aClient
		prepare(r)
		handler := s.MachineHandler()
		if r.Header.Get("Client-Cert") != "" { // which counts at the public listener alone
			handler = s.Handler()
		}
		handler.ServeHTTP(w, r)
		var refusal struct {
			Reason string `json:"error_uri"`
		}
		if strings.HasPrefix(w.Body.String(), "{") {
			if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil {
				t.Fatal(err)
			}
		}
		return w.Code, refusal.Reason[strings.LastIndex(refusal.Reason, "/")+1:]
	}
	shows := func(chain ...*x509.Certificate) func(*http.Request) {
		return func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: chain} }
	}
	tells := func(c *x509.Certificate) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = aProxy; r.Header.Set("Client-Cert", sequence(c)) }
	}
	for name, test := range map[string]struct {
		path    string
		demand  bool
		prepare func(*http.Request)
		status  int
		reason  string
	}{
		"not demanded":                        {"/demo/accounts", false, shows(), http.StatusOK, ""},
		"not demanded, and of a stranger":     {"/demo/accounts", false, shows(stranger), http.StatusOK, ""},
		"shown":                               {"/demo/accounts", true, shows(known), http.StatusOK, ""},
		"told by a proxy":                     {"/demo/accounts", true, tells(known), http.StatusOK, ""},
		"none":                                {"/demo/accounts", true, func(*http.Request) {}, http.StatusBadRequest, "certificate_missing"},
		"none, over TLS":                      {"/demo/accounts", true, shows(), http.StatusBadRequest, "certificate_missing"},
		"none, and an endpoint that there is": {"/oauth2/token", true, shows(), http.StatusBadRequest, "certificate_missing"},
		"of a stranger":                       {"/demo/accounts", true, shows(stranger), http.StatusUnauthorized, "certificate_refused"},
		"of a stranger, with the known one":   {"/demo/accounts", true, shows(stranger, known), http.StatusUnauthorized, "certificate_refused"},
		"of a stranger, told by a proxy":      {"/demo/accounts", true, tells(stranger), http.StatusUnauthorized, "certificate_refused"},
		"expired":                             {"/demo/accounts", true, shows(&expired), http.StatusUnauthorized, "certificate_refused"},
		"what explains a refusal":             {"/errors/certificate_missing", true, shows(), http.StatusOK, ""},
		"nowhere":                             {"/nowhere", true, shows(), http.StatusNotFound, "no_such_endpoint"},
		"told by whom nobody trusts": {"/demo/accounts", true, func(r *http.Request) { r.Header.Set("Client-Cert", sequence(known)) },
			http.StatusBadRequest, "certificate_missing"},
		"a proxy's own": {"/demo/accounts", true, func(r *http.Request) { shows(known)(r); r.RemoteAddr = aProxy }, http.StatusBadRequest, "certificate_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, reason := call(test.path, test.demand, test.prepare); status != test.status || reason != test.reason {
				t.Errorf("%d %s, want %d %s", status, reason, test.status, test.reason)
			}
		})
	}
}

// The listener that asks for certificates itself believes nobody's word about one, nor a trusted proxy's. The certificate of a
// connection from such an address may be the proxy's own, and so is not the client's, whoever has passed it through.
func TestMutualTLSListenerBelievesNoHeader(t *testing.T) {
	c := certificates(t, 2)
	told, shown := c[0], c[1]
	for header, value := range map[string]string{
		"Client-Cert": sequence(told), "X-Forwarded-Client-Cert": "Hash=" + digest(told) + ";Cert=" + escaped(told),
		"X-Ssl-Client-Cert": escaped(told), "X-Our-Client": "rubbish",
	} {
		for remote, want := range map[string]int{aProxy: 0, aClient: 1} {
			n := -1
			s, _ := answering(func(_ http.ResponseWriter, r *http.Request) error {
				if n = len(r.TLS.PeerCertificates); n > 0 && !r.TLS.PeerCertificates[0].Equal(shown) || r.Header.Get(header) != "" {
					t.Errorf("%s from %s is believed", header, remote)
				}
				return nil
			})
			s.Proxies, s.MutualTLS.Header = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, header
			r := httptest.NewRequest(http.MethodGet, "/demo/accounts", nil)
			r.RemoteAddr, r.TLS = remote, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{shown}}
			r.Header.Set(header, value)
			if s.MachineHandler().ServeHTTP(httptest.NewRecorder(), r); n != want {
				t.Errorf("%s from %s: %d certificates, want %d", header, remote, n, want)
			}
		}
	}
}
