package store_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"authserver/internal/grant"
	"authserver/internal/person"
	"authserver/internal/store"
)

// lifetimes are those of the sessions in these tests.
var lifetimes = person.Lifetimes{Idle: 15 * time.Minute, Most: 8 * time.Hour}

// session is somebody signed in at noon.
func session(subject string) person.Session { return proven(subject).Session(noon) }

// proven is somebody whom addPeople has added, with the password of then.
func proven(subject string) person.Authentication {
	who := person.Person{Subject: subject, Name: "The name", PasswordHash: "hash of " + strings.TrimPrefix(subject, "_")}
	return person.Authentication{Person: who, At: noon.Add(-time.Second), ACR: person.ACRPassword, AMR: []string{"pwd"}}
}

// told is what a caller learns about an interaction.
func told(i grant.Interaction) string {
	return fmt.Sprintf("%q with %q until +%s, of %q, decided %v",
		i.Subject, i.Accounts, i.ExpiresAt.Sub(noon), i.Request.ClientID, i.Decided)
}

// taking is an op that a rule makes of one tab.
func taking(name, cookie string, call func(context.Context, *store.Store) (grant.Interaction, bool, error),
	rule func(grant.Interaction) (grant.Interaction, bool)) op[life] {
	return op[life]{
		name: name,
		call: func(ctx context.Context, s *store.Store) string {
			i, taken, err := call(ctx, s)
			return fmt.Sprint(told(i), taken, err)
		},
		model: func(l *life, _ string) string {
			i, found := l.tab(cookie)
			if !found {
				return fmt.Sprint(told(grant.Interaction{}), false, nil)
			}
			next, taken := rule(i)
			if taken {
				l.keep(cookie, next)
			}
			return fmt.Sprint(told(next), taken, nil)
		},
	}
}

// A minute after noon all of this happens.
var minute = noon.Add(time.Minute)

func stepping(cookie, subject string) op[life] {
	return taking(fmt.Sprintf("%q steps in %s", subject, cookie), cookie,
		func(ctx context.Context, s *store.Store) (grant.Interaction, bool, error) {
			return s.Step(ctx, hash(cookie), subject, minute)
		},
		func(i grant.Interaction) (grant.Interaction, bool) { return i.Step(subject, minute) })
}

func choosing(cookie, subject string, accounts ...string) op[life] {
	return taking(fmt.Sprintf("%q chooses %q in %s", subject, accounts, cookie), cookie,
		func(ctx context.Context, s *store.Store) (grant.Interaction, bool, error) {
			return s.Choose(ctx, hash(cookie), subject, accounts, minute)
		},
		func(i grant.Interaction) (grant.Interaction, bool) { return i.Choose(subject, accounts, minute) })
}

func returning(cookie, state string) op[life] {
	return taking(fmt.Sprintf("%s returns with %s", cookie, state), cookie,
		func(ctx context.Context, s *store.Store) (grant.Interaction, bool, error) {
			return s.Return(ctx, hash(cookie), hash(state), minute)
		},
		func(i grant.Interaction) (grant.Interaction, bool) { return i.Return(hash(state), minute) })
}

func departing(cookie, state string) op[life] {
	return op[life]{
		name: fmt.Sprintf("%s departs with %s", cookie, state),
		call: func(ctx context.Context, s *store.Store) string {
			left, err := s.Depart(ctx, hash(cookie), hash(state), minute)
			return fmt.Sprint(left, err)
		},
		model: func(l *life, _ string) string {
			i, _ := l.tab(cookie)
			next, left := i.Depart(hash(state), minute)
			if left {
				l.keep(cookie, next)
			}
			return fmt.Sprint(left, nil)
		},
	}
}

// visiting is a browser with the cookie current, or "" with none, that gets fresh if need be.
func visiting(current, fresh string) op[life] {
	return op[life]{
		name: fmt.Sprintf("%q arrives", current),
		call: func(ctx context.Context, s *store.Store) string {
			v := grant.Visit{RequestURI: hash("request"), ClientID: "c1", New: hash(fresh)}
			if current != "" {
				v.Current = hash(current)
			}
			i, a, err := s.Visit(ctx, v, minute)
			return fmt.Sprint(told(i), a, err)
		},
		model: func(l *life, _ string) string {
			if i, found := l.tab(current); found && i.Alive(minute) {
				return fmt.Sprint(told(i), grant.Resumed, nil)
			}
			if l.Forgotten {
				return fmt.Sprint(told(grant.Interaction{}), grant.Unknown, nil)
			}
			i, a := grant.Open(request(), l.Decided, len(l.Tabs), minute)
			if a == grant.Opened {
				l.keep(fresh, i)
			}
			return fmt.Sprint(told(i), a, nil)
		},
	}
}

func deciding(cookie, subject string, approval *grant.Approval) op[life] {
	return op[life]{
		name: fmt.Sprintf("%q answers in %s, a yes: %v", subject, cookie, approval != nil),
		call: func(ctx context.Context, s *store.Store) string {
			_, d, err := s.Decide(ctx, hash(cookie), subject, approval, minute)
			return fmt.Sprint(d, err)
		},
		model: func(l *life, _ string) string {
			i, _ := l.tab(cookie)
			d := i.Decide(subject, minute)
			switch {
			case d != grant.Decided:
			case l.Deleted:
				d = grant.ClientGone
			case l.Disabled && subject == "_alex":
				d = grant.PersonGone
			default:
				l.Decided = true
				if approval != nil {
					g := approval.Grant
					l.Codes[codeOf(g.ID)] = approval.Code
					l.Grants[g.ID] = allowed{Grant: g}.with(grant.GivenBy(approval.InteractionID, g.CreatedAt))
				}
			}
			return fmt.Sprint(d, nil)
		},
	}
}

// disabling is what is done to alex, and to all that alex has allowed.
func disabling() op[life] {
	return op[life]{
		name: "disable",
		call: func(ctx context.Context, s *store.Store) string {
			disabled, err := s.DisablePerson(ctx, "alex", noon)
			return fmt.Sprint(disabled, err)
		},
		model: func(l *life, _ string) string {
			was := l.Disabled || l.Erased
			if !was {
				l.Disabled = true
				clear(l.Sessions)
				for id, a := range l.Grants {
					if a.Grant.Subject == "_alex" && a.Grant.Alive(noon) {
						l.Grants[id] = a.revoked(grant.Stopped(grant.PersonDisabledToo, "", "", noon))
					}
				}
			}
			return fmt.Sprint(!was, nil)
		},
	}
}

func deletingC1() op[life] {
	return op[life]{
		name: "delete c1",
		call: func(ctx context.Context, s *store.Store) string {
			deleted, err := s.DeleteClient(ctx, "c1", nil, noon)
			return fmt.Sprint(deleted, err)
		},
		model: func(l *life, _ string) string {
			was := l.Deleted
			l.Deleted = true
			return fmt.Sprint(!was, nil)
		},
	}
}

// signingIn is alex, who had the session former, or "" none.
func signingIn(former, fresh string) op[life] {
	return op[life]{
		name: "sign in",
		call: func(ctx context.Context, s *store.Store) string {
			var old []byte
			if former != "" {
				old = hash(former)
			}
			signedIn, err := s.SignIn(ctx, old, hash(fresh), proven("_alex"), lifetimes, noon)
			return fmt.Sprint(signedIn, err)
		},
		model: func(l *life, _ string) string {
			able := !l.Disabled && l.Password == proven("_alex").Person.PasswordHash
			if able {
				delete(l.Sessions, former)
				l.Sessions[fresh] = true
			}
			return fmt.Sprint(able, nil)
		},
	}
}

func usingSession() op[life] {
	return op[life]{
		name: "use the session",
		call: func(ctx context.Context, s *store.Store) string {
			_, alive, err := s.Session(ctx, hash("session"), lifetimes, minute)
			return fmt.Sprint(alive, err)
		},
		model: func(l *life, _ string) string { return fmt.Sprint(l.Sessions["session"], nil) },
	}
}

func settingPassword() op[life] {
	return op[life]{
		name: "set the password",
		call: func(ctx context.Context, s *store.Store) string {
			set, err := s.SetPassword(ctx, "alex", "another hash")
			return fmt.Sprint(set, err)
		},
		model: func(l *life, _ string) string {
			if !l.Erased {
				l.Password = "another hash"
				clear(l.Sessions)
			}
			return fmt.Sprint(!l.Erased, nil)
		},
	}
}
