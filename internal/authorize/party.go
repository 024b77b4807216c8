package authorize

import (
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// party is who a client is, as pages tell it.
func (e *Endpoint) party(c client.Client) page.Party {
	p := page.Party{Name: clientName(c), Site: c.Metadata.ClientURI, Entities: entities(c.Metadata.RegistryReferences)}
	if logo := c.LogoPath(); logo != "" {
		p.Logo = e.path(logo)
	}
	return p
}

// intermediaries are who the client gets the data through.
func intermediaries(c client.Client) []page.Party {
	var all []page.Party
	for _, i := range c.Metadata.Intermediaries {
		all = append(all, page.Party{Name: i.Name, Site: i.URI, Entities: entities(i.RegistryReferences)})
	}
	return all
}

func entities(references []client.RegistryReference) []page.Entity {
	var all []page.Entity
	for _, r := range references {
		all = append(all, page.Entity{Name: r.RegisteredEntityName, Registry: r.Registry, ID: r.RegisteredEntityID})
	}
	return all
}

// sharing is a consent as its person looks at it. Of a client that is deleted only the name is left.
func (e *Endpoint) sharing(t turn, c grant.Consent, registered client.Client, theirs []person.Account, now time.Time) page.Sharing {
	s := page.Sharing{
		ID: c.ID, Client: page.Party{Name: c.ClientName}, Accounts: accountsOf(c, theirs),
		Once: !c.Details.Refreshes(), LookBack: c.Details.LookBack(),
		Since: c.CreatedAt, Until: c.EndsAt(), Ending: endingOf(c, now), History: historyOf(c, now),
	}
	if s.Client.Name == "" {
		s.Client.Name = c.ClientID
	}
	s.Clusters, s.Overall = c.Details.Clusters()
	scope, _ := oauth.ParseScope(c.Scope) // it was parsed when it was granted
	_, s.Scopes = c.Details.Intersect(scope)
	if c.UsedAt != nil {
		s.Used = *c.UsedAt
	}
	if s.Ending == "" {
		s.Stop = e.form(t, forStop, connectedPage+"/stop")
	}
	if registered.ID != "" {
		s.Client, s.Intermediaries = e.party(registered), intermediaries(registered)
	}
	return s
}

// accountsOf are the accounts of a consent, by the names that they have now. One that is no longer there has only its place.
func accountsOf(c grant.Consent, theirs []person.Account) []page.Account {
	var all []page.Account
	for _, id := range c.Accounts {
		account := page.Account{ID: id}
		for _, a := range theirs {
			if a.ID == id {
				account = page.Account(a)
			}
		}
		all = append(all, account)
	}
	return all
}

// endingOf is how a consent came to its end; "" while it has not.
func endingOf(c grant.Consent, now time.Time) page.Ending {
	stop, stopped := c.Stop()
	switch {
	case stopped:
		return stoppedBy(stop)
	case c.Status(now) == fdx.Expired:
		return page.Expired
	case c.ClientGone != nil:
		return page.AppGone
	case c.RevokedAt != nil: // before there was a history
		return page.StoppedByBank
	}
	return ""
}

func stoppedBy(c grant.Change) page.Ending {
	switch c.Actor {
	case audit.Person:
		return page.StoppedByYou
	case audit.Client:
		return page.StoppedByApp
	}
	return page.StoppedByBank
}

// historyOf is what happened to a consent. That its time was over, or its client gone, is no entry, and is told all the same.
func historyOf(c grant.Consent, now time.Time) []page.Entry {
	var all []page.Entry
	for _, change := range c.History {
		entry := page.Entry{At: change.At, Reference: change.InteractionID}
		switch change.Event {
		case grant.Given:
			entry.What = page.Given
		case grant.Fetched:
			entry.What = page.Fetched
		case grant.Revoked:
			entry.What = page.Happening(stoppedBy(change))
		}
		all = append(all, entry)
	}
	if ending := endingOf(c, now); ending == page.Expired || ending == page.AppGone {
		all = append(all, page.Entry{At: c.EndsAt(), What: page.Happening(ending)})
	}
	return all
}
