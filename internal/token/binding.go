package token

import (
	"net/http"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/certificate"
	"authserver/internal/client"
	"authserver/internal/dpop"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// binding is what a token is to be bound to, and what proving it uses up. Both are empty for an unbound token.
type binding struct {
	to   accesstoken.Confirmation
	uses []replay.Use
}

// bind proves that the client holds what the token is to be bound to: what it registered (of both, the key of a proof), and
// else what the request bears, which may be nothing where the client may have unbound tokens. Whoever shows a key gets a
// bound token.
func (e *Endpoint) bind(r *http.Request, by requester, grantType string, now time.Time) (binding, error) {
	c := by.Client
	if c.Metadata.DPoPBoundAccessTokens || dpop.Has(r.Header) && !c.BindsToCertificate() {
		return e.bindToProof(r, c, now)
	}
	presented, found, err := certificate.Of(r, now)
	switch {
	case err != nil:
		return binding{}, err
	case found:
		return binding{to: accesstoken.Confirmation{X5T: presented.Thumbprint()}}, nil
	case c.BindsToCertificate():
		return binding{}, e.Clients.Records.Doubt(r.Context(), c, oauth.Refuse(oauth.CertificateMissing,
			"the client is registered for tokens that are bound to its certificate; the connection has none"))
	case by.mayBeUnbound(grantType):
		return binding{}, nil
	case e.Clients.Anchors != nil:
		return binding{}, e.Clients.Records.Doubt(r.Context(), c, oauth.Refuse(oauth.ProofMissing,
			"tokens are bound to a key: a DPoP header with a proof is needed, or a connection with a client certificate"))
	}
	return e.bindToProof(r, c, now) // which says what is missing
}

// bindToProof verifies the request's DPoP proof.
func (e *Endpoint) bindToProof(r *http.Request, c client.Client, now time.Time) (binding, error) {
	proof, err := e.Proofs.Verify(r.Header, dpop.Of(r, e.Origins), now)
	switch {
	case err != nil && !dpop.Has(r.Header): // which another record might have allowed
		return binding{}, e.Clients.Records.Doubt(r.Context(), c, err)
	case err != nil:
		return binding{}, err
	}
	return binding{accesstoken.Confirmation{JKT: proof.Thumbprint}, []replay.Use{proof.Use}}, nil
}

// mayBeUnbound tells whether the operator lets the client have unbound tokens: in its own name, or by assertions of this
// issuer. A token that speaks for a person is always bound, and what a client registered for itself is asked for before.
func (by requester) mayBeUnbound(grantType string) bool {
	switch grantType {
	case clientCredentials:
		return by.Client.TokensMayBeUnbound()
	case JWTBearer:
		return !by.assertion.Issuer.RequireBinding
	}
	return false
}
