package server

import (
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5/middleware"
)

// behind tells h who the client is, where proxies of the operator stand in front: the rightmost address of X-Forwarded-For
// that is no proxy's, since whatever stands left of it the client may have written itself. Where the chain cannot be read
// up to there, and where the connection is not a trusted proxy's, the client is whoever opened the connection.
func behind(proxies []netip.Prefix, h http.Handler) http.Handler {
	if len(proxies) == 0 {
		return h
	}
	var trusted []string
	for _, p := range proxies {
		trusted = append(trusted, p.String())
	}
	return middleware.ClientIPFromXFF(trusted...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := middleware.GetClientIPAddr(r.Context()); ip.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(ip, 0).String() // the copy of the request that is h's alone
		}
		h.ServeHTTP(w, r)
	}))
}
