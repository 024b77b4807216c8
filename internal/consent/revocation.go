package consent

import (
	"net/http"
	"slices"
	"strings"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// What a client may give as reason and as initiator. It does not speak for the data provider.
var (
	reasons    = []string{fdx.UserAction, fdx.BusinessRule}
	initiators = []string{fdx.Individual, fdx.DataRecipient, fdx.DataAccessPlatform, fdx.Merchant, fdx.Vendor}
)

// readRevocation reads why a client ends a consent (FDX, ConsentRevocationRequest). Members that FDX does not have are
// ignored.
func readRevocation(r *http.Request) (fdx.Revocation, error) {
	body, err := oauth.ReadJSON(r)
	if err != nil {
		return fdx.Revocation{}, err
	}
	o, err := jose.ParseObject(body)
	if err != nil {
		return fdx.Revocation{}, oauth.Refuse(oauth.RevocationRefused,
			"the body must be one JSON object with reason and initiator: %s", jose.Detail(err))
	}
	var why fdx.Revocation
	if why.Reason, err = word(o, "reason", reasons); err != nil {
		return fdx.Revocation{}, err
	}
	why.Initiator, err = word(o, "initiator", initiators)
	return why, err
}

// word is a required member that is one of some words.
func word(o jose.Object, name string, some []string) (string, error) {
	text, present, err := o.String(name)
	switch {
	case !present:
		return "", oauth.Refuse(oauth.RevocationRefused, "%s is missing; expected one of %s", name, strings.Join(some, ", "))
	case err != nil || !slices.Contains(some, text):
		return "", oauth.Refuse(oauth.RevocationRefused, "%s must be one of %s; received another value",
			name, strings.Join(some, ", "))
	}
	return text, nil
}

// revocations are those of one consent, of which there is at most one.
type revocations struct {
	Revocations []revocation `json:"revocations"`
}

// revocation is how a consent was ended (FDX, ConsentRevocation).
type revocation struct {
	Status string `json:"status"`
	fdx.Revocation
	UpdatedTime string `json:"updatedTime"`
}

func revocationsOf(c grant.Consent) revocations {
	list := []revocation{}
	if stop, ended := c.Stop(); ended {
		list = append(list, revocation{fdx.Revoked, stop.Revocation, timestamp(stop.At)})
	}
	return revocations{list}
}
