package userinfo

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/resource"
	"authserver/internal/response"
)

// Store knows the clients as they are registered now.
type Store interface {
	FindClient(ctx context.Context, id string) (c client.Client, found bool, err error)
}

// Endpoint is /oauth2/userinfo.
type Endpoint struct {
	Issuer string
	Guard  resource.Guard
	Sealer response.Sealer
	Store  Store
	Now    func() time.Time
}

// claims are what is told. Issuer and Audience stand in a signed answer alone (OpenID Connect Core §5.3.2).
type claims struct {
	Subject  string `json:"sub"`
	Issuer   string `json:"iss,omitempty"`
	Audience string `json:"aud,omitempty"`
}

// Userinfo answers whom an access token speaks for.
func (e *Endpoint) Userinfo(w http.ResponseWriter, r *http.Request) error {
	admission, err := e.Guard.Verify(r, e.Now(), oauth.OpenID)
	if err != nil {
		return inBody(r, err)
	}
	if err := checkBody(r); err != nil {
		return err
	}
	token := admission.Token
	oauth.Note(w, oauth.FieldClient, token.ClientID)
	if token.GrantID == "" {
		return e.Guard.Challenged(oauth.Refuse(oauth.ScopeInsufficient, "the access token speaks for no person"), oauth.OpenID)
	}
	envelope, err := e.envelope(r.Context(), token.ClientID)
	if err != nil {
		return err
	}
	if err := e.Guard.Spend(r.Context(), admission); err != nil {
		return err
	}
	return e.answer(w, envelope, token)
}

// inBody has the refusal of a request without a token say where to put the one that stands in its form (RFC 6750 §2.2), which
// does not count here (FAPI 2.0 Security Profile §5.3.4-1).
func inBody(r *http.Request, err error) error {
	refusal, ok := err.(*oauth.Error)
	if !ok || refusal.Reason != oauth.TokenMissing {
		return err
	}
	if form, bad := oauth.ReadForm(r, oauth.FormOnly); bad == nil && form.Get("access_token") != "" {
		refusal.Description = "access_token stood in the body; send it in the Authorization header"
	}
	return refusal
}

// checkBody refuses a second access token in the form of a POST, also in one that is malformed behind it (RFC 6750 §2, FAPI 2.0
// Security Profile §5.3.4-2).
func checkBody(r *http.Request) error {
	body, err := oauth.ReadBody(r)
	if err != nil {
		return err
	}
	if form, _ := url.ParseQuery(string(body)); form.Has("access_token") {
		return oauth.Refuse(oauth.ParameterRepeated,
			"access_token stood in the body too; send it in the Authorization header alone")
	}
	return nil
}

// envelope is what the answer to a client goes into; nil: it is JSON. Of a client that is deleted it is nil too: the guard
// refuses its tokens.
func (e *Endpoint) envelope(ctx context.Context, clientID string) (*response.Envelope, error) {
	c, _, err := e.Store.FindClient(ctx, clientID)
	if err != nil || c.Userinfo().Sign == "" {
		return nil, err
	}
	envelope, err := e.Sealer.Prepare(ctx, c, c.Userinfo())
	return &envelope, err
}

func (e *Endpoint) answer(w http.ResponseWriter, into *response.Envelope, token accesstoken.Token) error {
	if into == nil {
		oauth.WriteJSON(w, http.StatusOK, claims{Subject: token.Subject})
		return nil
	}
	sealed, err := into.Seal("JWT", claims{Subject: token.Subject, Issuer: e.Issuer, Audience: token.ClientID})
	if err != nil {
		return err
	}
	oauth.WriteJWT(w, "application/jwt", sealed)
	return nil
}
