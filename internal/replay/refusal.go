package replay

import "authserver/internal/oauth"

// Refusal is the error of a use that had been used before, or nil.
func (o Outcome) Refusal() error {
	switch o.Replayed {
	case Assertion:
		return oauth.Refuse(oauth.AssertionReplayed, "the jti of this client_assertion was used before; make a new assertion for each request")
	case Proof:
		return oauth.Refuse(oauth.ProofReplayed, "the jti of this DPoP proof was used before; make a new proof for each request")
	}
	return nil
}
