package server

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"authserver/internal/authorize"
	"authserver/internal/client"
	"authserver/internal/consent"
	"authserver/internal/dcr"
	"authserver/internal/dpop"
	"authserver/internal/introspect"
	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/par"
	"authserver/internal/token"
	"authserver/internal/userinfo"

	"github.com/go-chi/chi/v5"
)

// requestTimeout bounds the work on one request.
const requestTimeout = 10 * time.Second

// Server is the endpoints and what surrounds them.
type Server struct {
	Issuer        string // https://host[:port][/path], no slash at the end
	Scopes        []string
	Keys          interface{ JWKS() []byte }
	Registration  *dcr.Endpoint
	Token         *token.Endpoint
	Introspection *introspect.Endpoint
	Consents      *consent.Endpoint
	Push          *par.Endpoint
	Userinfo      *userinfo.Endpoint
	Authorization *authorize.Endpoint // nil: nobody can sign in here, so that there is nothing to push either
	Logos         *client.Logos       // what people see of clients; nil where nobody can sign in
	Nonces        dpop.Nonces
	Proxies       []netip.Prefix // whose X-Forwarded-For is believed
	MutualTLS     MutualTLS
	Record        *Record
	Now           func() time.Time

	// Demo is a protected resource that only the development mode has.
	Demo oauth.Handler
}

// route is one path and its methods.
type route struct {
	path    string
	methods map[string]oauth.Handler
	proofs  bool // the endpoint verifies DPoP proofs, so it answers them with a fresh nonce
	clients bool // who calls it authenticates as a client
	open    bool // any web page may read it (CORS)
	people  bool // a person at a browser asks; what is wrong is told on a page
	fdx     bool // a resource of FDX, with FDX's body for errors
}

// machine tells whether programs call the route in a client's name: it looks at certificates.
func (r route) machine() bool { return r.clients || r.proofs }

// routes is the table of the public listener. Paths lie below the issuer's own path; RFC 8414 §3 alone puts its document
// before it.
func (s *Server) routes() []route {
	table := []route{
		{path: "/oauth2/token", proofs: true, clients: true, methods: post(s.Token.Token)},
		// The path of seed 000; not in the metadata. A proof for it names it.
		{path: "/oauth/token", proofs: true, clients: true, methods: post(s.Token.Token)},
		{path: "/oauth2/introspect", clients: true, methods: post(s.Introspection.Introspect)},
		{path: "/oauth2/revoke", clients: true, methods: post(s.Introspection.Revoke)},
		{path: "/oauth2/jwks", open: true, methods: get(s.jwks)},
		{path: "/fdx/v6/register", proofs: true, methods: post(s.Registration.Register)},
		{path: "/fdx/v6/register/{client_id}", proofs: true, methods: map[string]oauth.Handler{
			http.MethodGet:    ofClient(s.Registration.Read),
			http.MethodPut:    ofClient(s.Registration.Update),
			http.MethodDelete: ofClient(s.Registration.Delete),
		}},
		// Also where nobody can sign in: what was granted before that was switched off can still be ended.
		{path: "/fdx/v6/consents/{consent_id}", proofs: true, fdx: true, methods: get(ofConsent(s.Consents.Show))},
		{path: "/fdx/v6/consents/{consent_id}/revocation", proofs: true, fdx: true, methods: map[string]oauth.Handler{
			http.MethodGet:  ofConsent(s.Consents.Revocations),
			http.MethodHead: ofConsent(s.Consents.Revocations),
			http.MethodPut:  ofConsent(s.Consents.Revoke),
		}},
		{path: "/.well-known/openid-configuration", open: true, methods: get(s.metadata)},
		{path: "/errors/{reason}", methods: get(reasonPage)},
	}
	if s.Authorization != nil {
		table = append(table, s.peoplesRoutes()...)
	}
	if s.Demo != nil {
		table = append(table, route{path: "/demo/accounts", proofs: true, methods: get(s.Demo)})
	}
	base := issuerPath(s.Issuer)
	for i := range table {
		table[i].path = base + table[i].path
	}
	return append(table, route{path: "/.well-known/oauth-authorization-server" + base, open: true, methods: get(s.metadata)})
}

// peoplesRoutes are the way of a person: the push that prepares it, and the pages. A form's action is a path of its own, so
// that reading it does nothing.
func (s *Server) peoplesRoutes() []route {
	a := s.Authorization
	return []route{
		{path: "/oauth2/par", proofs: true, clients: true, methods: post(s.Push.Push)},
		{path: "/oauth2/userinfo", proofs: true, methods: getOrPost(s.Userinfo.Userinfo)}, // OpenID Connect Core §5.3.1
		{path: "/oauth2/authorize", people: true, methods: getOrPost(a.Authorize)},        // OpenID Connect Core §3.1.2.1
		{path: "/login", people: true, methods: get(a.Login)},
		{path: "/login/attempt", people: true, methods: post(a.Attempt)},
		{path: "/login/callback", people: true, methods: get(a.Callback)},
		{path: "/accounts", people: true, methods: get(a.ShowAccounts)},
		{path: "/accounts/choice", people: true, methods: post(a.Choose)},
		{path: "/consent", people: true, methods: get(a.ShowConsent)},
		{path: "/consent/decision", people: true, methods: post(a.Answer)},
		{path: "/connected", people: true, methods: get(a.Connected)},
		{path: "/connected/attempt", people: true, methods: post(a.OwnAttempt)},
		{path: "/connected/stop", people: true, methods: post(a.Stop)},
		{path: "/oauth2/logout", people: true, methods: getOrPost(a.Logout)}, // RP-Initiated Logout §2
		{path: "/sign-out", people: true, methods: post(a.SignOut)},
		{path: "/signed-out", people: true, methods: get(a.SignedOut)},
		{path: "/assets/{name}", people: true, methods: get(s.asset)},
		{path: "/logos/{client_id}", people: true, methods: get(ofClient(s.logo))},
	}
}

// asset answers what the pages are made of.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) error {
	contentType, body, ok := s.Authorization.Pages.Asset(chi.URLParam(r, "name"))
	if !ok {
		return oauth.Refuse(oauth.NoSuchEndpoint, "there is no such file")
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // a logo may be SVG
	return writePublic(w, contentType, body)
}

// logo answers the picture of a client, so that the browser of a person who looks at our pages asks nobody else for it. Only
// browsers keep it: it may change, or go with its client.
func (s *Server) logo(w http.ResponseWriter, r *http.Request, clientID string) error {
	logo, found, err := s.Logos.Find(r.Context(), clientID)
	if err != nil {
		return err
	}
	if !found {
		return oauth.Refuse(oauth.NoSuchEndpoint, "there is no such logo")
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(client.LogoMaxAge.Seconds())))
	h.Set("Content-Type", logo.ContentType)
	_, err = w.Write(logo.Body)
	return err
}

// Paths are the patterns of the route table, in its order.
func (s *Server) Paths() []string {
	var paths []string
	for _, route := range s.routes() {
		paths = append(paths, route.path)
	}
	return paths
}

// Handler is the public listener's.
func (s *Server) Handler() http.Handler { return s.handler(s.routes(), s.believed()) }

// MachineHandler is that of the listener for mutual TLS, where no person comes: a browser would ask for a certificate. What
// opens a connection here proves a certificate by its own handshake, so no header about one is believed, not even a trusted
// proxy's. What passes TLS through must come from another address than those: their certificates are never the client's.
func (s *Server) MachineHandler() http.Handler {
	return s.handler(slices.DeleteFunc(s.routes(), func(r route) bool { return r.people }), nil)
}

// handler answers these routes; believed are the headers about a certificate that count when a trusted proxy sends them.
func (s *Server) handler(routes []route, believed []string) http.Handler {
	none := route{path: "none"}
	r := chi.NewRouter()
	for _, route := range routes {
		s.mount(r, route)
	}
	r.NotFound(s.serve(none, func(http.ResponseWriter, *http.Request) error {
		return oauth.Refuse(oauth.NoSuchEndpoint, "there is no such endpoint; take them from the metadata")
	}).ServeHTTP)
	r.MethodNotAllowed(s.serve(none, func(http.ResponseWriter, *http.Request) error { // a method that HTTP does not know
		return oauth.Refuse(oauth.MethodNotAllowed, "no endpoint answers this method")
	}).ServeHTTP)
	return s.behind(believed, r)
}

// mount puts one route into the router.
func (s *Server) mount(r chi.Router, route route) {
	var allow []string
	for method := range route.methods {
		allow = append(allow, method)
	}
	slices.Sort(allow)
	handle := s.serve(route, func(w http.ResponseWriter, r *http.Request) error {
		if route.open {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			if r.Method == http.MethodOptions {
				w.Header().Set("Access-Control-Allow-Methods", strings.Join(allow, ", "))
				w.WriteHeader(http.StatusNoContent)
				return nil
			}
		}
		if route.proofs && dpop.Has(r.Header) {
			w.Header().Set("DPoP-Nonce", s.Nonces.Current(s.Now()))
			oauth.NoStore(w)
		}
		if h := route.methods[r.Method]; h != nil {
			return h(w, r)
		}
		refusal := oauth.Refuse(oauth.MethodNotAllowed, "this endpoint answers %s", strings.Join(allow, ", "))
		refusal.Allow = allow
		return refusal
	})
	r.Handle(route.path, handle)
}

// serve surrounds a handler with the record of its request and its bounds.
func (s *Server) serve(route route, h oauth.Handler) http.Handler {
	pages := oauth.Pages{Base: s.Issuer, FDX: route.fdx}
	if route.people {
		pages.Show = s.Authorization.ShowError
	}
	recorded := s.Record.around(route, pages, func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		r, err := s.admit(route, r.WithContext(ctx))
		if err != nil {
			return err
		}
		return h(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.people && strings.HasPrefix(s.Issuer, "https:") {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		// Only through net/http's own writer can the reader make it close the connection behind a body that is too long.
		r.Body = http.MaxBytesReader(w, r.Body, oauth.MaxBody)
		if len(r.TransferEncoding) > 0 {
			// A Content-Length may have stood beside the chunks: net/http drops it without a word. What another reader takes
			// for the body's end must not become the next request here (RFC 9112 §6.1).
			w.Header().Set("Connection", "close")
		}
		recorded.ServeHTTP(w, r)
	})
}

// post, get and getOrPost are the method tables of most routes; whatever answers GET answers HEAD (RFC 9110 §9.1).
func post(h oauth.Handler) map[string]oauth.Handler {
	return map[string]oauth.Handler{http.MethodPost: h}
}

func get(h oauth.Handler) map[string]oauth.Handler {
	return map[string]oauth.Handler{http.MethodGet: h, http.MethodHead: h}
}

func getOrPost(h oauth.Handler) map[string]oauth.Handler {
	methods := get(h)
	methods[http.MethodPost] = h
	return methods
}

// ofClient hands a handler the client that the path names.
func ofClient(h func(w http.ResponseWriter, r *http.Request, clientID string) error) oauth.Handler {
	return func(w http.ResponseWriter, r *http.Request) error { return h(w, r, chi.URLParam(r, "client_id")) }
}

// ofConsent hands a handler the consent that the path names.
func ofConsent(h func(w http.ResponseWriter, r *http.Request, id string) error) oauth.Handler {
	return func(w http.ResponseWriter, r *http.Request) error { return h(w, r, chi.URLParam(r, "consent_id")) }
}

func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// jwks answers the keys that verify what this server signs.
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) error {
	return writePublic(w, "application/jwk-set+json", s.Keys.JWKS())
}

// writePublic writes a document that everybody may keep for as long as the rotation of keys allows.
func writePublic(w http.ResponseWriter, contentType string, document []byte) error {
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(keys.MaxAge.Seconds())))
	w.Header().Set("Content-Type", contentType)
	_, err := w.Write(document)
	return err
}
