package consent

import (
	"cmp"
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
)

// consentGrant is a consent as FDX has it (FDX, ConsentGrant).
type consentGrant struct {
	ID             string         `json:"id"`
	Status         string         `json:"status"`
	Parties        []party        `json:"parties"`
	CreatedTime    string         `json:"createdTime"`
	ExpirationTime string         `json:"expirationTime"`
	UpdatedTime    string         `json:"updatedTime"`
	DurationType   string         `json:"durationType"`
	DurationPeriod int            `json:"durationPeriod,omitempty"` // days
	LookbackPeriod int            `json:"lookbackPeriod,omitempty"` // days
	Resources      []fdx.Resource `json:"resources"`
}

// party is somebody who has a part in a consent (FDX, ConsentGrantParty).
type party struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	HomeURI string `json:"homeUri,omitempty"`
	LogoURI string `json:"logoUri,omitempty"`
	entity
}

// entity is the legal entity of a party, as a registry knows it.
type entity struct {
	Registry             string `json:"registry,omitempty"`
	RegisteredEntityName string `json:"registeredEntityName,omitempty"`
	RegisteredEntityID   string `json:"registeredEntityId,omitempty"`
}

// describe is a consent and its parties. All its details have the same terms: see fdx.Settle.
func (e *Endpoint) describe(c grant.Consent, recipient client.Client, now time.Time) consentGrant {
	terms := c.Details.ConsentRequests()[0]
	return consentGrant{
		ID:             c.ID,
		Status:         c.Status(now),
		Parties:        e.parties(recipient),
		CreatedTime:    timestamp(c.CreatedAt),
		ExpirationTime: timestamp(c.ExpiresAt),
		UpdatedTime:    timestamp(c.UpdatedAt),
		DurationType:   terms.DurationType,
		DurationPeriod: terms.DurationPeriod,
		LookbackPeriod: terms.LookbackPeriod,
		Resources:      c.Details.Resources(),
	}
}

// parties are those between whom the data goes, from the client to this server.
func (e *Endpoint) parties(recipient client.Client) []party {
	m := recipient.Metadata
	parties := []party{{
		Name: cmp.Or(m.ClientName, recipient.ID), Type: fdx.DataRecipient, HomeURI: m.ClientURI, LogoURI: m.LogoURI,
		entity: firstOf(m.RegistryReferences),
	}}
	for _, i := range m.Intermediaries {
		parties = append(parties, party{
			Name: i.Name, Type: fdx.DataAccessPlatform, HomeURI: i.URI, LogoURI: i.LogoURI, entity: firstOf(i.RegistryReferences),
		})
	}
	return append(parties, party{Name: e.Bank, Type: fdx.DataProvider, HomeURI: e.Issuer})
}

// firstOf is the first of a party's registrations, which is the one that the client puts forward.
func firstOf(references []client.RegistryReference) entity {
	if len(references) == 0 {
		return entity{}
	}
	return entity{references[0].Registry, references[0].RegisteredEntityName, references[0].RegisteredEntityID}
}

// timestamp is a moment in UTC, to the millisecond (RFC 3339; FDX, Timestamp).
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
