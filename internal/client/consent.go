package client

import (
	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

// Details are the authorization_details of a client's request (RFC 9396 §2); nil: it has none. Error: as of fdx.ParseDetails.
func (c Client) Details(form oauth.Form) (fdx.Details, error) {
	text := form.Get("authorization_details")
	if text == "" {
		return nil, nil
	}
	return fdx.ParseDetails(text, c.Metadata.AuthorizationDetailsTypes)
}

// Ceilings are what the client is registered to ask a person for at most.
func (c Client) Ceilings() fdx.Ceilings {
	m := c.Metadata
	return fdx.Ceilings{DurationType: m.DurationType, DurationPeriod: m.DurationPeriod, LookbackPeriod: m.LookbackPeriod}
}
