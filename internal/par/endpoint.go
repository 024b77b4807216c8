package par

import (
	"context"
	"net/http"
	"time"

	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/response"
)

// Store keeps pushed requests.
type Store interface {
	// Push keeps a request under the hash of its request_uri.
	Push(ctx context.Context, requestURI []byte, p grant.Pushed) error
}

// Endpoint is /oauth2/par.
type Endpoint struct {
	Clients   *client.Authenticator
	Proofs    dpop.Verifier
	IDTokens  idtoken.Tokens  // recognise whom a hint means
	Sealer    response.Sealer // protect answers and ID tokens as clients registered
	Store     Store
	Origins   []string      // scheme and host of the public URLs, and of those of mutual TLS, for htu
	Resources []string      // acceptable resource parameters
	Arrival   time.Duration // from the push to the browser's first visit
	Pushes    oauth.Limit   // of one client
	Now       func() time.Time
}

// Response is a successful answer (RFC 9126 §2.2).
type Response struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

// Push answers a pushed authorization request.
func (e *Endpoint) Push(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		return err
	}
	return client.Fresh(func() error { return e.push(w, r, form) })
}

func (e *Endpoint) push(w http.ResponseWriter, r *http.Request, form oauth.Form) error {
	now := e.Now()
	caller, err := e.Clients.Authenticate(r.Context(), r, form, now)
	if err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldClient, caller.Client.ID)
	if form, err = e.parameters(r.Context(), caller.Client, form, now); err != nil {
		return e.Clients.Records.Doubt(r.Context(), caller.Client, err)
	}
	jkt, uses, err := e.key(r, caller.Client, form, now)
	if err != nil {
		return err
	}
	pushed, err := e.judge(caller.Client, form)
	if err == nil {
		err = e.checkSeal(r.Context(), caller.Client, pushed)
	}
	if err != nil {
		return e.Clients.Records.Doubt(r.Context(), caller.Client, err)
	}
	pushed.JKT, pushed.ArriveBy = jkt, now.Add(e.Arrival)
	// A push too many is refused before it uses anything up, and counted only when it has: replays count nothing.
	if err := oauth.WithinLimit(e.Pushes, caller.Client.ID); err != nil {
		return err
	}
	if err := e.Clients.Records.Spend(r.Context(), caller, uses...); err != nil {
		return err
	}
	if err := oauth.Limited(e.Pushes, caller.Client.ID); err != nil {
		return err
	}
	secret := oauth.NewSecret()
	if err := e.Store.Push(r.Context(), secret.Hash(), pushed); err != nil {
		return err
	}
	oauth.Note(w, oauth.FieldScope, pushed.Scope)
	oauth.WriteJSON(w, http.StatusCreated, Response{RequestURI: grant.RequestURI + secret.Reveal(), ExpiresIn: int64(e.Arrival.Seconds())})
	return nil
}

// checkSeal refuses a request for an answer, or an ID token, that could not be made as the client registered: it tells the
// client before a person has come all the way.
func (e *Endpoint) checkSeal(ctx context.Context, c client.Client, p grant.Pushed) error {
	if p.ResponseMode != "" {
		if _, err := e.Sealer.Prepare(ctx, c, c.Authorization()); err != nil {
			return err
		}
	}
	if scope, err := oauth.ParseScope(p.Scope); err != nil || !scope.Has(oauth.OpenID) {
		return err
	}
	_, err := e.Sealer.Prepare(ctx, c, c.IDToken())
	return err
}

// key is the thumbprint that the code is to be bound to: of the proof's key, or the one that dpop_jkt names. Where both
// came they must be the same (RFC 9449 §10.1). "" binds it to none. A client whose tokens are bound to its certificate could
// not redeem a code that is bound to another key.
func (e *Endpoint) key(r *http.Request, c client.Client, form oauth.Form, now time.Time) (
	jkt string, uses []replay.Use, err error) {
	jkt = form.Get("dpop_jkt")
	if c.BindsToCertificate() && (jkt != "" || dpop.Has(r.Header)) {
		return "", nil, e.Clients.Records.Doubt(r.Context(), c, oauth.Refuse(oauth.KeyThumbprint,
			"the client is registered for tokens that are bound to its certificate; leave out dpop_jkt and the DPoP proof"))
	}
	if jkt != "" && !isDigest(jkt) {
		return "", nil, oauth.Refuse(oauth.KeyThumbprint, "dpop_jkt must be a JWK SHA-256 thumbprint, 43 characters of base64url")
	}
	if !dpop.Has(r.Header) {
		return jkt, nil, nil
	}
	proof, err := e.Proofs.Verify(r.Header, dpop.Of(r, e.Origins), now)
	if err != nil {
		return "", nil, err
	}
	if jkt != "" && jkt != proof.Thumbprint {
		return "", nil, oauth.Refuse(oauth.KeyThumbprint, "dpop_jkt is not the thumbprint of the key of the DPoP proof, %s", proof.Thumbprint)
	}
	return proof.Thumbprint, []replay.Use{proof.Use}, nil
}
