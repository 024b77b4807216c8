package replay

import (
	"fmt"

	"authserver/internal/oauth"
)

// Refusal is the error of a use that had been used before, or nil. It is an error for every kind: one that has no sentence
// of its own yet must not pass.
func (o Outcome) Refusal() error {
	switch o.Replayed {
	case "":
		return nil
	case Assertion:
		return oauth.Refuse(oauth.AssertionReplayed, "the jti of this client_assertion was used before; make a new assertion for each request")
	case AssertionGrant:
		return oauth.Refuse(oauth.AssertionGrantReplayed, "this assertion was used before, or one with its jti; make a new one for each request")
	case Proof:
		return oauth.Refuse(oauth.ProofReplayed, "the jti of this DPoP proof was used before; make a new proof for each request")
	}
	return fmt.Errorf("replay: a use of the kind %q was used before", o.Replayed)
}
