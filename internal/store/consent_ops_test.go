package store_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/replay"
	"authserver/internal/store"
)

// codeOf is the name of the code that was given for a grant.
func codeOf(grantID string) string { return "code" + strings.TrimPrefix(grantID, "grant") }

// shown is what a caller learns about a grant.
func shown(g grant.Grant) string {
	if g.ID == "" {
		return "no grant"
	}
	details, err := json.Marshal(g.Details)
	return fmt.Sprintf("%s of %s for %s shares %s %v until %s, changed %s, used %s, revoked %s", g.ID, g.Subject, g.ClientID,
		details, err, since(&g.ExpiresAt), since(&g.UpdatedAt), since(g.UsedAt), since(g.RevokedAt))
}

func since(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return fmt.Sprint("+", t.Sub(noon))
}

// redeeming is an attempt at the code of a grant.
func redeeming(n int, a grant.Attempt) op[life] {
	id, code, refresh := fmt.Sprint("grant ", n), fmt.Sprint("code ", n), fmt.Sprint("refresh ", n)
	return op[life]{
		name: "redeem " + code,
		call: func(ctx context.Context, s *store.Store) string {
			g, r, err := s.RedeemCode(ctx, hash(code), a, hash(refresh), noon)
			return fmt.Sprint(r, shown(g), err)
		},
		model: func(l *life, _ string) string {
			c, found := l.Codes[code]
			if !found {
				return fmt.Sprint(grant.Redemption{Outcome: grant.CodeUnknown}, shown(grant.Grant{}), nil)
			}
			of, given := l.Grants[id], grant.Grant{}
			c.Grant, c.GrantEnded = of.Grant, l.Disabled || !of.Grant.Alive(noon)
			after, r := c.Redeem(a, noon)
			switch {
			case r.Outcome == grant.Redeemed:
				var refreshes bool
				if of.Grant, refreshes = of.Grant.Fetch(a.Lifetime, noon); refreshes {
					of.Refresh = refresh
				}
				of = of.with(grant.FetchedBy(a.ClientID, a.InteractionID, noon))
				given = of.Grant
			case r.Outcome == grant.CodeReplayed && of.Grant.RevokedAt == nil:
				of = of.revoked(grant.Stopped(grant.CodeReused, a.ClientID, a.InteractionID, noon))
				given = of.Grant
			}
			after.Grant, after.GrantEnded = grant.Grant{}, false
			l.Codes[code], l.Grants[id] = after, of
			return fmt.Sprint(r, shown(given), nil)
		},
	}
}

// Who ends grants, and how: each in other words, and at another time, so that the history shows who did.
var (
	byPerson = stopper{"alex stops", grant.Owner{Subject: "_alex"},
		grant.Stopped(grant.PersonStopped, "", "the person's", minute)}
	byClient = stopper{"c1 stops", grant.Owner{ClientID: "c1"},
		grant.StoppedByClient("c1", inWords, "the client's", minute.Add(time.Second))}
	byOperator = stopper{"the operator stops", grant.Owner{},
		grant.Stopped(grant.OperatorStopped, "", "", minute.Add(2*time.Second))}
	byStranger = stopper{"kim stops", grant.Owner{Subject: "_kim"},
		grant.Stopped(grant.PersonStopped, "", "kim's", minute)}
)

var inWords = fdx.Revocation{Reason: fdx.UserAction, Initiator: fdx.Merchant}

type stopper struct {
	name   string
	owner  grant.Owner
	change grant.Change
}

// late is the stopper when the token of a consent for once is over.
func (by stopper) late() stopper {
	by.change.At = noon.Add(6 * time.Minute)
	return by
}

// stopping is an owner, or somebody else, who ends a grant.
func stopping(n int, by stopper) op[life] {
	id := fmt.Sprint("grant ", n)
	return op[life]{
		name: by.name + " " + id,
		call: func(ctx context.Context, s *store.Store) string {
			g, became, err := s.RevokeGrant(ctx, id, by.owner, by.change)
			return fmt.Sprint(became, shown(g), err)
		},
		model: func(l *life, _ string) string {
			a, found := l.Grants[id]
			became := a.Grant.End(by.owner, by.change.At)
			switch {
			case !found || became == grant.NoGrant:
				return fmt.Sprint(grant.NoGrant, shown(grant.Grant{}), nil)
			case became == grant.Ended:
				a = a.revoked(by.change)
				l.Grants[id] = a
			}
			return fmt.Sprint(became, shown(a.Grant), nil)
		},
	}
}

// givingUp is c1, which revokes a refresh token.
func givingUp(n int) op[life] {
	refresh := fmt.Sprint("refresh ", n)
	c := grant.Stopped(grant.RefreshTokenRevoked, "c1", "given up", minute.Add(3*time.Second))
	return op[life]{
		name: "give up " + refresh,
		call: func(ctx context.Context, s *store.Store) string {
			id, revoked, err := s.RevokeRefreshToken(ctx, hash(refresh), c)
			return fmt.Sprint(id, revoked, err)
		},
		model: func(l *life, _ string) string {
			a := l.refreshedBy(refresh)
			revoked := a.Grant.ID != "" && a.Grant.Alive(c.At)
			if revoked {
				l.Grants[a.Grant.ID] = a.revoked(c)
			}
			return fmt.Sprint(a.Grant.ID, revoked, nil)
		},
	}
}

// refreshedBy is the grant of a refresh token.
func (l life) refreshedBy(token string) allowed {
	for _, a := range l.Grants {
		if a.Refresh == token {
			return a
		}
	}
	return allowed{}
}

// refreshing is c1, which asks for another access token.
func refreshing(n int) op[life] {
	token := fmt.Sprint("refresh ", n)
	return op[life]{
		name: token,
		call: func(ctx context.Context, s *store.Store) string {
			g, alive, err := s.Refresh(ctx, hash(token), "c1", minute)
			return fmt.Sprint(shown(g), alive, err)
		},
		model: func(l *life, _ string) string {
			g := l.refreshedBy(token).Grant
			alive := !l.Disabled && g.Refreshes("c1", minute)
			if !alive {
				g = grant.Grant{}
			}
			return fmt.Sprint(shown(g), alive, nil)
		},
	}
}

// asking is a resource that is brought a token of a grant, too short for its details: two calls, as introspection makes
// them. Only what was granted is asked for in the second, and that never changes.
func asking(n int) op[life] {
	id := fmt.Sprint("grant ", n)
	return op[life]{
		name: "ask about " + id,
		call: func(ctx context.Context, s *store.Store) string {
			token := replay.NewUse(replay.AccessToken, "issuer", "t", minute)
			denied, used, err := s.Denied(ctx, token, "c1", id)
			if denied || err != nil {
				return fmt.Sprint("inactive ", err)
			}
			g, found, err := s.FindGrant(ctx, id)
			if !found { // only erasure takes it away
				return fmt.Sprint("inactive ", err)
			}
			return fmt.Sprint(true, " ", g.Subject, " ", g.Details, " ", since(used), err)
		},
		model: func(l *life, _ string) string {
			a, found := l.Grants[id]
			if l.Deleted || l.Disabled || !found || a.Grant.RevokedAt != nil {
				return fmt.Sprint("inactive ", nil)
			}
			return fmt.Sprint(true, " ", a.Grant.Subject, " ", a.Grant.Details, " ", since(a.Grant.UsedAt), nil)
		},
	}
}

// using keeps that a grant was at work so long after noon.
func using(n int, after time.Duration) op[life] {
	id, at := fmt.Sprint("grant ", n), noon.Add(after)
	return op[life]{
		name: fmt.Sprint("use ", id, " at +", after),
		call: func(ctx context.Context, s *store.Store) string { return fmt.Sprint(s.Used(ctx, id, at)) },
		model: func(l *life, _ string) string {
			if a, found := l.Grants[id]; found && grant.Idle(a.Grant.UsedAt, at) {
				a.Grant.UsedAt = &at
				l.Grants[id] = a
			}
			return fmt.Sprint(nil)
		},
	}
}

// forgetting is a sweep when all is over and nothing is kept any more. It passes by what others are at work on, so that it
// may leave anything: what it left is part of what is observed.
func forgetting(s lifeStage) op[life] {
	conn := connect(s.t, s.url)
	return op[life]{
		name: "forget",
		call: func(ctx context.Context, s *store.Store) string {
			var left []string
			err := s.SweepAuthorizations(ctx, aMonth, noon.Add(10*fdx.MaxLife))
			err2 := conn.QueryRow(ctx, `
				SELECT array(SELECT id FROM authorization_grant UNION ALL SELECT encode(id, 'hex') FROM authorization_code UNION ALL
					SELECT encode(id, 'hex') FROM pushed_request UNION ALL SELECT encode(id, 'hex') FROM interaction UNION ALL
					SELECT encode(id, 'hex') FROM session)`).Scan(&left)
			return fmt.Sprintf("%q %v", left, errors.Join(err, err2))
		},
		model: func(l *life, observed string) string {
			gone := func(name string) bool {
				return !strings.Contains(observed, name) && !strings.Contains(observed, hex.EncodeToString(hash(name)))
			}
			maps.DeleteFunc(l.Grants, func(id string, _ allowed) bool { return gone(id) })
			maps.DeleteFunc(l.Codes, func(name string, _ grant.Code) bool { return gone(name) })
			maps.DeleteFunc(l.Tabs, func(name string, _ grant.Interaction) bool { return gone(name) })
			maps.DeleteFunc(l.Sessions, func(name string, _ bool) bool { return gone(name) })
			l.Forgotten = gone("request")
			l.Decided = l.Decided && !l.Forgotten
			return observed[:strings.LastIndex(observed, "]")] + "] <nil>"
		},
	}
}

// finding looks at one consent with its history.
func finding(n int) op[life] {
	id := fmt.Sprint("grant ", n)
	return op[life]{
		name: "find " + id,
		call: func(ctx context.Context, s *store.Store) string {
			c, found, err := s.FindConsent(ctx, id)
			return fmt.Sprint(written(c), found, err)
		},
		model: func(l *life, _ string) string {
			a, found := l.Grants[id]
			if !found {
				return fmt.Sprint(written(grant.Consent{}), false, nil)
			}
			return fmt.Sprint(written(l.consent(a)), true, nil)
		},
	}
}

// listing is alex at the page of connected apps.
func listing() op[life] {
	return op[life]{
		name: "list",
		call: func(ctx context.Context, s *store.Store) string {
			all, err := s.Consents(ctx, "_alex", 9, minute)
			return fmt.Sprint(writtenAll(all), err)
		},
		model: func(l *life, _ string) string {
			var all []grant.Consent
			for a := range maps.Values(l.Grants) {
				if a.Grant.Subject == "_alex" {
					all = append(all, l.consent(a))
				}
			}
			slices.SortFunc(all, func(a, b grant.Consent) int { return cmp.Or(inOrder(a, b), cmp.Compare(a.ID, b.ID)) })
			return fmt.Sprint(writtenAll(all), nil)
		},
	}
}

// inOrder has what is alive before what is over: the former newest first, the latter by its end, the last first.
func inOrder(a, b grant.Consent) int {
	over := func(c grant.Consent) bool { return c.Status(minute) != fdx.Active }
	switch {
	case over(a) != over(b) && over(a):
		return 1
	case over(a) != over(b):
		return -1
	case over(a):
		return b.EndsAt().Compare(a.EndsAt())
	}
	return b.CreatedAt.Compare(a.CreatedAt)
}

// consent is a grant as it is looked at.
func (l life) consent(a allowed) grant.Consent {
	c := grant.Consent{Grant: a.Grant, ClientName: "client c1", History: a.History}
	if l.Deleted {
		c.ClientGone = &noon
	}
	return c
}

// written is what is seen of a consent.
func written(c grant.Consent) string {
	text := fmt.Sprintf("%s, for %q, gone %s:", shown(c.Grant), c.ClientName, since(c.ClientGone))
	for _, h := range c.History {
		text += fmt.Sprintf(" %s %s by %s %q at %s in %q %v;",
			h.Event, h.Why, h.Actor, h.By, since(&h.At), h.InteractionID, h.Revocation)
	}
	return text
}

func writtenAll(all []grant.Consent) (text string) {
	for _, c := range all {
		text += written(c) + "\n"
	}
	return text
}
