package authorize

import (
	"context"
	"errors"
	"time"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/person"
	"authserver/internal/replay"
)

// memory is a store that forgets. What may happen it asks the rules of grant and person, as the real one does.
type memory struct {
	clients      map[string]client.Client
	requests     map[string]*request
	interactions map[string]*interaction
	sessions     map[string]person.Session
	approvals    []grant.Approval
	gone         bool // everybody: disabled
	consents     []grant.Consent
	spent        map[replay.Use]bool
}

type request struct {
	pushed  grant.Pushed
	decided bool
	opened  int
}

type interaction struct {
	of *request
	grant.Interaction
}

func (m *memory) FindClient(_ context.Context, id string) (client.Client, bool, error) {
	c, found := m.clients[id]
	return c, found, nil
}

func (m *memory) Visit(_ context.Context, v grant.Visit, now time.Time) (grant.Interaction, grant.Arrival, error) {
	r := m.requests[string(v.RequestURI)]
	if r == nil || r.pushed.ClientID != v.ClientID {
		return grant.Interaction{}, grant.Unknown, nil
	}
	if i, found := m.find(v.Current); found && i.of == r && i.Alive(now) {
		return i.Interaction, grant.Resumed, nil
	}
	i, arrival := grant.Open(r.pushed, r.decided, r.opened, now)
	if arrival == grant.Opened {
		r.opened++
		i.CameWith = v.Session
		m.interactions[string(v.New)] = &interaction{r, i}
	}
	return i, arrival, nil
}

func (m *memory) find(id []byte) (i *interaction, found bool) {
	if i, found = m.interactions[string(id)]; found {
		i.Decided = i.of.decided
	}
	return i, found
}

func (m *memory) change(id []byte, rule func(grant.Interaction) (grant.Interaction, bool)) (grant.Interaction, bool, error) {
	i, found := m.find(id)
	if !found {
		return grant.Interaction{}, false, nil
	}
	next, done := rule(i.Interaction)
	if done {
		i.Interaction = next
	}
	return next, done, nil
}

func (m *memory) Step(_ context.Context, id []byte, subject string, now time.Time) (grant.Interaction, bool, error) {
	return m.change(id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Step(subject, now) })
}

func (m *memory) Choose(_ context.Context, id []byte, subject string, accounts []string, now time.Time) (grant.Interaction,
	bool, error) {
	return m.change(id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Choose(subject, accounts, now) })
}

func (m *memory) Depart(_ context.Context, id, departure []byte, now time.Time) (bool, error) {
	_, left, err := m.change(id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Depart(departure, now) })
	return left, err
}

func (m *memory) Return(_ context.Context, id, departure []byte, now time.Time) (grant.Interaction, bool, error) {
	return m.change(id, func(i grant.Interaction) (grant.Interaction, bool) { return i.Return(departure, now) })
}

func (m *memory) Decide(_ context.Context, id []byte, subject string, approval *grant.Approval,
	now time.Time) (grant.Interaction, grant.Decision, error) {
	i, found := m.find(id)
	if !found {
		return grant.Interaction{}, grant.Expired, nil
	}
	decision := i.Decide(subject, now)
	if decision == grant.Decided {
		if i.of.decided = true; approval != nil {
			m.approvals = append(m.approvals, *approval)
		}
	}
	return i.Interaction, decision, nil
}

func (m *memory) Consents(_ context.Context, subject string, over int, now time.Time) ([]grant.Consent, error) {
	var alive, ended []grant.Consent
	for _, c := range m.consents {
		switch {
		case c.Subject != subject:
		case c.Status(now) == fdx.Active:
			alive = append(alive, c)
		case len(ended) < over:
			ended = append(ended, c)
		}
	}
	return append(alive, ended...), nil
}

func (m *memory) RevokeGrant(_ context.Context, id string, by grant.Owner, c grant.Change) (grant.Grant, grant.Ending, error) {
	for n := range m.consents {
		consent := &m.consents[n]
		if consent.ID != id {
			continue
		}
		became := consent.End(by, c.At)
		if became == grant.Ended {
			consent.RevokedAt, consent.History = &c.At, append(consent.History, c)
		}
		return consent.Grant, became, nil
	}
	return grant.Grant{}, grant.NoGrant, nil
}

func (m *memory) Spend(_ context.Context, s replay.Spend) (replay.Outcome, error) {
	for _, u := range s.Uses {
		if m.spent[u] {
			return replay.Outcome{Replayed: u.Kind}, nil
		}
		m.spent[u] = true
	}
	return replay.Outcome{}, nil
}

func (m *memory) Recognise(_ context.Context, who person.Identity, name, _ string, _ time.Time) (person.Person, error) {
	if who.Issuer == "" {
		return person.Person{}, errors.New("an identity without an issuer")
	}
	return person.Person{Subject: "_" + who.Subject, Name: name, Upstream: who}, nil
}

func (m *memory) SignIn(_ context.Context, old, id []byte, who person.Authentication, _ person.Lifetimes,
	now time.Time) (bool, error) {
	if m.gone {
		return false, nil
	}
	delete(m.sessions, string(old))
	m.sessions[string(id)] = who.Session(now)
	return true, nil
}

func (m *memory) Session(_ context.Context, id []byte, l person.Lifetimes, now time.Time) (person.Session, bool, error) {
	s, found := m.sessions[string(id)]
	if found = found && s.Alive(l, now) && !m.gone; !found {
		return person.Session{}, false, nil
	}
	s.UsedAt = now
	m.sessions[string(id)] = s
	return s, true, nil
}

func (m *memory) SignOut(_ context.Context, id []byte) error {
	delete(m.sessions, string(id))
	return nil
}
