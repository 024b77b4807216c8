package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"

	"github.com/go-chi/chi/v5/middleware"
)

// behind is where the word of others about a client ends, unless a proxy that the operator trusts opened the connection. Such
// a proxy is believed where the request comes from and, in the headers that are believed at this listener, which certificate
// the client has proven to it; its own certificate is never the client's. No other of the headers about certificates gets past
// here.
func (s *Server) behind(believed []string, h http.Handler) http.Handler {
	h = addressed(s.Proxies, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(r.Context()) // the copy of the request that is h's alone
		var here []string
		if s.trusts(r.RemoteAddr) {
			here = believed
			if r.TLS != nil {
				r.TLS = proven(r.TLS, nil)
			}
		}
		r.Header = s.stripped(r.Header, here)
		h.ServeHTTP(w, r)
	})
}

// addressed tells h who the client is, where proxies stand in front: the rightmost address of X-Forwarded-For that is no
// proxy's, since whatever stands left of it the client may have written itself. Where the chain cannot be read up to there,
// and where the connection is not a trusted proxy's, the client is whoever opened the connection.
func addressed(proxies []netip.Prefix, h http.Handler) http.Handler {
	if len(proxies) == 0 {
		return h
	}
	var trusted []string
	for _, p := range proxies {
		trusted = append(trusted, p.String())
	}
	return middleware.ClientIPFromXFF(trusted...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := middleware.GetClientIPAddr(r.Context()); ip.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
		}
		h.ServeHTTP(w, r)
	}))
}

// trusts tells whether a connection from this address is a trusted proxy's.
func (s *Server) trusts(address string) bool {
	from, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := from.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// certificateHeaders are the names by which proxies commonly tell of a client's certificate.
var certificateHeaders = []string{clientCert, clientCertChain, forwardedClientCert, "X-Ssl-Client-Cert", "Ssl-Client-Cert"}

// believed are the headers about a certificate that count when a trusted proxy has sent them.
func (s *Server) believed() []string {
	if s.MutualTLS.Header == clientCert {
		return []string{clientCert, clientCertChain}
	}
	return []string{s.MutualTLS.Header}
}

// stripped returns the headers without those about a certificate, but for the ones that are believed.
func (s *Server) stripped(h http.Header, believed []string) http.Header {
	for _, name := range append([]string{s.MutualTLS.Header}, certificateHeaders...) {
		if _, there := h[name]; there && !slices.Contains(believed, name) {
			h = h.Clone()
			delete(h, name)
		}
	}
	return h
}

// proven is a connection's state in which the peer has proven this chain of certificates and no other.
func proven(state *tls.ConnectionState, chain []*x509.Certificate) *tls.ConnectionState {
	own := *state
	own.PeerCertificates, own.VerifiedChains = chain, nil
	return &own
}
