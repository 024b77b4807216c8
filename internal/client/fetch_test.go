package client

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fetch gets /jwks from the host as a host that has never answered.
func (o *host) fetch(t testing.TB) (fetched, error) {
	t.Helper()
	return NewFetcher(o.vetting()).fetch(t.Context(), o.URL+"/jwks", false)
}

// SS-10: a redirect is an answer without keys, and nobody goes where it points.
func TestRedirectIsNotFollowed(t *testing.T) {
	target := newHost(t, serves(jwks(ecSigner("k1"))))
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := newHost(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL+"/jwks", status) })
		if got, err := h.fetch(t); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("SS-10 %d: %v %v", status, got, err)
		}
		target.wantHits(t, "SS-10", 0)
	}
}

func TestFetchTakesOnlyADocument(t *testing.T) {
	good := jwks(ecSigner("k1"))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(good))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	padded := func(size int) string { return good + strings.Repeat(" ", size-len(good)) }
	chunked := func(document string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, document)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    bool
	}{
		{"200", serves(good), true},
		{"JK-14 64 KiB", serves(padded(MaxKeySet)), true},
		{"JK-14 64 KiB and a byte", serves(padded(MaxKeySet + 1)), false},
		{"JK-14 64 KiB in chunks", chunked(padded(MaxKeySet)), true},
		{"JK-14 64 KiB and a byte in chunks", chunked(padded(MaxKeySet + 1)), false},
		{"JK-14 5 MiB", serves(padded(5 << 20)), false},
		{"SS-14 gzip", serves(zipped.String(), "Content-Encoding", "gzip"), false},
		{"SS-14 an encoding of any name", serves(good, "Content-Encoding", "x"), false},
		{"SS-17 64 KiB of headers", serves(good, "X-Long", strings.Repeat("a", 70<<10)), false},
		{"SS-21 asks for a password", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="keys"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, false},
		{"204", status(204), false},
		{"206", status(206), false},
		{"404", status(404), false},
		{"500", status(500), false},
		{"breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, good)
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := newHost(t, test.handler).fetch(t)
			if (err == nil) != test.want || test.want != (strings.TrimSpace(string(got.raw)) == good) {
				t.Errorf("%d bytes, %v", len(got.raw), err)
			}
		})
	}
}

// SS-21: the request says nothing about anybody, and keeps nothing from an earlier one.
func TestFetchRequest(t *testing.T) {
	var seen []http.Header
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		if r.Method != http.MethodGet || r.ProtoMajor != 1 || len(r.TLS.PeerCertificates) > 0 || r.TLS.Version < tls.VersionTLS12 {
			t.Errorf("%s %s, %d certificates", r.Method, r.Proto, len(r.TLS.PeerCertificates))
		}
		serves(jwks(), "Set-Cookie", "a=b")(w, r)
	})
	h.TLS.ClientAuth = tls.RequestClientCert
	f := NewFetcher(h.vetting())
	for range 2 {
		if _, err := f.fetch(t.Context(), h.URL+"/jwks", true); err != nil {
			t.Fatal(err)
		}
	}
	want := http.Header{"Accept": {"application/jwk-set+json, application/json"}, "User-Agent": {"authserver"}, "Connection": {"close"}}
	for _, header := range seen {
		if diff := cmp.Diff(want, header); diff != "" {
			t.Error(diff)
		}
	}
	if len(seen) != 2 {
		t.Errorf("asked %d times", len(seen))
	}
}

// SS-15: a certificate of another authority or for another name gives no keys.
func TestFetchChecksTheCertificate(t *testing.T) {
	h := newHost(t, serves(jwks()))
	untrusting := h.vetting()
	untrusting.RootCAs = nil
	for name, test := range map[string]struct {
		vetting Vetting
		uri     string
	}{
		"SS-15 unknown authority": {untrusting, h.URL},
		"SS-15 another name":      {h.vetting(), strings.Replace(h.URL, "127.0.0.1", "localhost", 1)},
	} {
		_, err := NewFetcher(test.vetting).fetch(t.Context(), test.uri+"/jwks", false)
		if err == nil || !strings.Contains(err.Error(), "x509") {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.wantHits(t, "SS-15", 0)
	old := httptest.NewUnstartedServer(serves(jwks()))
	old.Config.ErrorLog = h.Config.ErrorLog
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()
	if _, err := NewFetcher((&host{Server: old}).vetting()).fetch(t.Context(), old.URL, false); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

// On a laptop the host may be a plain http server; nowhere else (TestCheckURI).
func TestFetchOverHTTP(t *testing.T) {
	plain := httptest.NewServer(serves(jwks()))
	defer plain.Close()
	if got, err := NewFetcher(laptop).fetch(t.Context(), plain.URL, false); err != nil || string(got.raw) != jwks() {
		t.Error(got, err)
	}
}

// The environment's proxies are not asked: they would dial what we have not vetted.
func TestFetcherHasNoProxy(t *testing.T) {
	transport := NewFetcher(production).http.Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("a proxy may be used")
	}
	if got := transport.TLSClientConfig.NextProtos; slices.Contains(got, "h2") {
		t.Errorf("JK-19 HTTP/2 is offered: %v", got)
	}
}
