package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// The names of the cookies, behind the prefix that https gives them.
const (
	sessionCookie      = "session"
	interactionsCookie = "interaction-" // and the handle
	ownCookie          = "own-login"
)

// maxInteractions is how many interactions one browser has cookies of: a site that opens window after window must not make
// its header longer than proxies take, which would lock the person out.
const maxInteractions = 20

var (
	handles = regexp.MustCompile(`^[A-Za-z0-9_-]{16}$`)
	secrets = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// handleOf is how URLs and cookies name the interactions with a request. It opens nothing.
func handleOf(requestURI oauth.Secret) string {
	digest := sha256.Sum256([]byte("interaction\x00" + requestURI.Reveal()))
	return base64.RawURLEncoding.EncodeToString(digest[:12])
}

// sidOf is how clients know a session, by the SHA-256 of its cookie: it lasts as long as the session, and is of no use at a
// browser. Whoever reads it can make neither the cookie of it nor what is kept of that.
func sidOf(session []byte) string {
	digest := sha256.Sum256(append([]byte("sid\x00"), session...))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func isHandle(s string) bool { return handles.MatchString(s) }

func interactionCookie(handle string) string { return interactionsCookie + handle }

// cookie is the secret that a cookie of ours holds, or "". What does not look like one of ours is none.
func (e *Endpoint) cookie(r *http.Request, name string) oauth.Secret {
	c, err := r.Cookie(e.cookieName(name))
	if err != nil || !secrets.MatchString(c.Value) {
		return ""
	}
	return oauth.Secret(c.Value)
}

// cookieName has the browser keep a cookie to this host, this path and https. Only dev's http does without.
func (e *Endpoint) cookieName(name string) string {
	if e.secure() {
		return "__Host-" + name
	}
	return name
}

func (e *Endpoint) secure() bool { return strings.HasPrefix(e.Issuer, "https://") }

// setCookie gives the browser a secret for so long; 0: until it is closed. An empty secret takes the cookie away.
func (e *Endpoint) setCookie(w http.ResponseWriter, name string, value oauth.Secret, life time.Duration) {
	c := &http.Cookie{
		Name: e.cookieName(name), Value: value.Reveal(), Path: "/", MaxAge: int(life.Seconds()),
		Secure: e.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// makeRoom takes the cookies of the oldest interactions away before one more is given. Browsers send the oldest first (RFC
// 6265 §5.4).
func (e *Endpoint) makeRoom(w http.ResponseWriter, r *http.Request) {
	var held []string
	for _, c := range r.Cookies() {
		if handle, ok := strings.CutPrefix(c.Name, e.cookieName(interactionsCookie)); ok && isHandle(handle) {
			held = append(held, handle)
		}
	}
	for _, handle := range held[:max(0, len(held)-maxInteractions+1)] {
		e.setCookie(w, interactionCookie(handle), "", 0)
	}
}

// sendTo sends the browser on. 303, so that no form goes along (FAPI 2.0 Security Profile §5.3.2.2-10).
func (e *Endpoint) sendTo(w http.ResponseWriter, target string) error {
	oauth.NoStore(w)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// path is where a page is on this host: behind the issuer's own path.
func (e *Endpoint) path(to string) string {
	u, err := url.Parse(e.Issuer)
	if err != nil {
		return to
	}
	return u.EscapedPath() + to
}

// toPage sends the browser to the page of its turn.
func (e *Endpoint) toPage(w http.ResponseWriter, path, handle string) error {
	return e.sendTo(w, e.Issuer+path+"?interaction="+handle)
}

// answeredAt is what a form may lead to beside this site: where the client will be told. Chromium holds form-action against
// every redirect behind a form, and clients like to send the browser on from their redirect_uri, to a host that nobody here
// knows. So the form that ends in an answer names the scheme alone; those before it, where passwords are typed, the origin.
// An answer by a form begins on a page of its own, with a policy of its own: until then nothing leads to the client.
func (t turn) answeredAt(m page.Model) string {
	p := t.interaction.Request
	u, err := url.Parse(p.RedirectURI)
	if err != nil || u.Scheme == "" || p.ResponseMode == grant.FormPostJWT {
		return ""
	}
	if _, last := m.(page.Consent); last || strings.HasPrefix(u.Host, "[") { // a policy has no words for an IPv6 address
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
