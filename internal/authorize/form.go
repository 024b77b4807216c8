package authorize

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/page"
)

// Forms makes and recognises form tokens, and refuses forms that come from elsewhere.
type Forms struct {
	keys   [][]byte
	origin *http.CrossOriginProtection
}

// NewForms derives the keys from the key-encryption keys: the first makes tokens, all are recognised. Forms may come from
// the issuer's origin only.
func NewForms(keyEncryptionKeys [][]byte, issuer string) (Forms, error) {
	f := Forms{origin: http.NewCrossOriginProtection()}
	u, err := url.Parse(issuer)
	if err == nil {
		err = f.origin.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	for _, kek := range keyEncryptionKeys {
		if err != nil {
			break
		}
		var key []byte
		key, err = hkdf.Key(sha256.New, kek, nil, "authserver form token", sha256.Size)
		f.keys = append(f.keys, key)
	}
	return f, err
}

// purpose is the page that a form token is good for.
type purpose string

const (
	forLogin    purpose = "login"
	forAccounts purpose = "accounts"
	forConsent  purpose = "consent"
	forSignOut  purpose = "sign-out"
	forOwnLogin purpose = "own login" // of the page of connected apps
	forStop     purpose = "stop"
)

// binding is what a token for a page is bound to. Nobody is signed in where a login form is shown, or it does not matter
// who; and whoever signs out does so of all interactions. Consent is given to what the page shows: another tab may have
// chosen other accounts since, and the client may have registered for a longer time, or under another name.
func (t turn) binding(p purpose) []string {
	switch p {
	case forLogin, forOwnLogin:
		return []string{string(p), t.secret.Reveal()}
	case forSignOut, forStop:
		return []string{string(p), t.ticket.Reveal(), t.session.Subject}
	}
	bound := []string{string(p), t.secret.Reveal(), t.ticket.Reveal(), t.session.Subject}
	if p == forConsent {
		bound = append(bound, strconv.FormatInt(t.client.Version, 10))
		bound = append(bound, t.interaction.Accounts...)
	}
	return bound
}

// token is the form token of a page.
func (f Forms) token(t turn, p purpose) string { return tokenOf(f.keys[0], t.binding(p)) }

// check refuses a form that was not made for this page, this person and this browser.
func (f Forms) check(t turn, p purpose, token string) error {
	known := false
	for _, key := range f.keys {
		known = hmac.Equal([]byte(token), []byte(tokenOf(key, t.binding(p)))) || known
	}
	if !known {
		return oauth.Refuse(oauth.FormRefused, "form_token is not the one of this page, browser and person")
	}
	return nil
}

func tokenOf(key []byte, parts []string) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// read reads a page's form: sent by this site, and without a field that the page does not have.
func (f Forms) read(r *http.Request, fields ...string) (oauth.Form, error) {
	if err := f.origin.Check(r); err != nil {
		return oauth.Form{}, oauth.Refuse(oauth.CrossSite, "the form was sent by another site").Because(err)
	}
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		return form, err
	}
	return form, form.Only(append(fields, "interaction", "form_token")...)
}

// submitted reads a page's form, and finds the turn that it was made for. Where the session is over there is nobody whom a
// token could have been made for; nothing can be done there without signing in again.
func (e *Endpoint) submitted(w http.ResponseWriter, r *http.Request, p purpose, now time.Time, fields ...string) (turn, oauth.Form, error) {
	form, err := e.Forms.read(r, fields...)
	if err != nil {
		return turn{}, form, err
	}
	t, err := e.find(w, r, form.Get("interaction"), now)
	if err == nil && (p == forLogin || t.session.Subject != "") {
		err = e.Forms.check(t, p, form.Get("form_token"))
	}
	return t, form, err
}

// form is the page's form, for its template.
func (e *Endpoint) form(t turn, p purpose, path string) page.Form {
	return page.Form{Action: e.path(path), Interaction: t.handle, Token: e.Forms.token(t, p)}
}
