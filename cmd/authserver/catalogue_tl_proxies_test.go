package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// element is a certificate as Envoy tells of it.
func element(shown tls.Certificate) string {
	digest := sha256.Sum256(shown.Certificate[0])
	return "By=spiffe://bank.example/as;Hash=" + hex.EncodeToString(digest[:]) + `;Cert="` + url.PathEscape(inPEM(shown)) +
		`";Subject="CN=x"`
}

// hearsay are the headers by which one proxy or another tells of a certificate.
func hearsay(shown tls.Certificate) http.Header {
	escaped, der := url.PathEscape(inPEM(shown)), base64.StdEncoding.EncodeToString(shown.Certificate[0])
	return http.Header{
		"Client-Cert": {":" + der + ":"}, "Client-Cert-Chain": {":" + der + ":"}, "X-Forwarded-Client-Cert": {element(shown)},
		"X-Ssl-Client-Cert": {escaped}, "Ssl-Client-Cert": {escaped}, "X-Client-Cert": {escaped},
		"X-Ssl-Client-Verify": {"SUCCESS"},
		"X-Ssl-Client-Dn":     {shown.Leaf.Subject.String()}, "X-Forwarded-Tls-Client-Cert": {der}, "X-Arr-Clientcert": {der},
		"X-Amzn-Mtls-Clientcert": {escaped}, "X_forwarded_client_cert": {element(shown)}, "X-Forwarded-For": {certifiedProxy},
	}
}

// telling are the requests once more, each with these headers besides.
func telling(all []*flow.Request, header http.Header) []*flow.Request {
	for _, r := range all {
		if r.Header == nil {
			r.Header = http.Header{}
		}
		maps.Copy(r.Header, header)
	}
	return all
}

// behindProxy is a replica as a client sees it whose connections a listed proxy ends.
func (d *deployment) behindProxy(replica int, edits ...func(*http.Transport)) *flow.Server {
	d.t.Helper()
	transport := d.transportFrom(replica, certifiedProxy)
	for _, edit := range edits {
		edit(transport)
	}
	return d.serverThrough(transport)
}

// passedThrough is a replica's listener for mutual TLS as a client sees it whose connections come from a listed proxy's address.
// The certificate may be the proxy's own.
func (d *deployment) passedThrough(replica int) *flow.Server {
	d.t.Helper()
	return d.seenThrough(d.transportFrom(replica, certifiedProxy), d.vouched("the proxy"))
}

// protocols are those that a proxy speaks with the server.
var protocols = map[string]func(*http.Transport){
	"HTTP/1.1": func(*http.Transport) {}, "HTTP/2": func(transport *http.Transport) { transport.ForceAttemptHTTP2 = true },
}

// certificatesByHearsay: TL-02. Whoever is no proxy that the operator has listed can write what it likes about certificates, on
// both listeners and with or without one of its own: the certificate is that of the connection. Of the proxy that is listed
// only the one header counts, and not even that at the listener that asks for certificates itself.
func certificatesByHearsay(t *testing.T, d *deployment) {
	shown, own := d.vouched("TL-02"), d.vouched("TL-02 of its own")
	c, attacker := d.certified(0, shown), d.certified(0, own)
	access := certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), shown)
	for i := range d.replicas {
		others := hearsay(shown)
		delete(others, "X-Forwarded-Client-Cert") // which counts from the proxy that is listed
		for s, header := range map[*flow.Server]http.Header{
			d.server(i): hearsay(shown), d.showing(i, tls.Certificate{}): hearsay(shown), d.behindProxy(i): others,
			d.passedThrough(i): hearsay(shown),
		} {
			for _, r := range telling(certificateAlone(s, c.ID), header) {
				refusedFor(t, do(t, s, r), "401 invalid_client", oauth.ClientAuthMissing)
			}
			base := d.issuer
			if s.MutualTLS {
				base = certifiedAlias
			}
			used := telling([]*flow.Request{{Method: http.MethodGet, URL: base + "/demo/accounts"}}, header)[0]
			refusedFor(t, do(t, s, used.SetHeader("Authorization", "Bearer "+access)), "401 invalid_token", oauth.TokenKey)
		}
		moved := d.at(attacker, i)
		for _, r := range telling(certificateAlone(moved.Server, c.ID), hearsay(shown)) {
			refusedFor(t, do(t, moved.Server, r), "401 invalid_client", oauth.ClientNotProven)
		}
		certifiedBy(t, do(t, moved.Server, telling([]*flow.Request{moved.TokenRequest(nil)}, hearsay(shown))[0]), own)
		d.proxied(c, i, shown)
	}
}

// proxied wants a listed proxy believed, in both protocols.
func (d *deployment) proxied(c *flow.Client, replica int, shown tls.Certificate) {
	d.t.Helper()
	for _, protocol := range protocols {
		moved := *c
		moved.Server = d.behindProxy(replica, protocol)
		told := http.Header{"X-Forwarded-Client-Cert": {element(shown)}}
		access := certifiedBy(d.t, do(d.t, moved.Server, telling([]*flow.Request{moved.TokenRequest(nil)}, told)[0]), shown)
		used := moved.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/demo/accounts"}, access)
		d.expect(&moved, telling([]*flow.Request{used}, told)[0], "200")
	}
}

// certificatesTwice: TL-03. A proxy that lets the client's own header through beside its own is not believed in either.
func certificatesTwice(t *testing.T, d *deployment) {
	shown, own := d.vouched("TL-03"), d.vouched("TL-03 of its own")
	c := d.certified(0, shown)
	victim, attacker := element(shown), element(own)
	for i := range d.replicas {
		for name, protocol := range protocols {
			s := d.behindProxy(i, protocol)
			for what, values := range map[string][]string{
				"the client's first": {victim, attacker}, "the client's last": {attacker, victim},
				"the same twice":     {victim, victim},
				"an empty one first": {"", victim}, "an empty one last": {victim, ""},
				"one joined to the other": {victim + "," + attacker}, "joined the other way": {attacker + "," + victim},
				"members of both":         {victim + ";" + attacker},
				"a certificate twice":     {victim + `;Cert="` + url.PathEscape(inPEM(own)) + `"`},
				"two certificates in one": {strings.Replace(victim, `";Subject`, url.PathEscape(inPEM(own))+`";Subject`, 1)},
			} {
				for _, r := range telling(certificateAlone(s, c.ID), http.Header{"X-Forwarded-Client-Cert": values}) {
					if e := do(t, s, r); e.Outcome() != "401 invalid_client" || reasonOf(e) != oauth.CertificateRefused {
						t.Errorf("%s, %s, %s: %s (%s)", name, what, r.URL, e.Outcome(), reasonOf(e))
					}
				}
			}
		}
		d.proxied(c, i, shown)
	}
}

// provenByAnother: TL-09. What one request has proven is nothing to the next on the same connection: not that of a client
// without a certificate, not that of one whose certificate proves somebody else, and not a proxy's.
func provenByAnother(t *testing.T, d *deployment) {
	shown := d.vouched("TL-09")
	c, asserting := d.certified(0, shown), d.register(0)
	told := http.Header{"X-Forwarded-Client-Cert": {element(shown)}}
	for i := range d.replicas {
		for name, protocol := range protocols {
			moved, byAssertion, proxied := *c, *asserting, *c
			moved.Server, byAssertion.Server = d.showing(i, shown, protocol), d.showing(i, tls.Certificate{}, protocol)
			proxied.Server = d.behindProxy(i, protocol)
			for what, test := range map[string]struct {
				s       *flow.Server
				good    *flow.Request
				others  []*flow.Request
				refusal oauth.Reason
			}{
				"by a certificate, then another's id": {moved.Server, moved.TokenRequest(nil),
					certificateAlone(moved.Server, asserting.ID), oauth.ClientNotProven},
				"by a certificate, then no id": {moved.Server, moved.TokenRequest(nil),
					certificateAlone(moved.Server, ""), oauth.ClientAuthMissing},
				"by an assertion": {byAssertion.Server, byAssertion.TokenRequest(nil),
					certificateAlone(byAssertion.Server, asserting.ID), oauth.ClientAuthMissing},
				"by a proxy's word": {proxied.Server, telling([]*flow.Request{proxied.TokenRequest(nil)}, told)[0],
					certificateAlone(proxied.Server, c.ID), oauth.ClientAuthMissing},
			} {
				d.expect(&flow.Client{Server: test.s}, test.good, "200")
				for _, r := range test.others {
					reused := d.reused(test.s, r.URL)
					if e := do(t, test.s, r); e.Outcome() != "401 invalid_client" || reasonOf(e) != test.refusal || !reused {
						t.Errorf("%s, %s, %s: %s (%s), on the same connection: %t", name, what, r.URL, e.Outcome(),
							reasonOf(e), reused)
					}
				}
			}
		}
	}
}

// reused tells whether a request to this URL goes over a connection that was there before.
func (d *deployment) reused(s *flow.Server, target string) (reused bool) {
	d.t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(d.t.Context(), trace), http.MethodGet, target, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	response, err := s.HTTP.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		d.t.Fatal(err)
	}
	return reused
}
