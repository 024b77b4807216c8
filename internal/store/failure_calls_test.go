package store_test

import (
	"testing"
	"time"

	"authserver/internal/grant"
	"authserver/internal/person"
	"authserver/internal/store"

	"github.com/jackc/pgx/v5"
)

// authorizationCalls are those of calls that are about people and what they allow. Each has something to do after furnish.
func authorizationCalls(t *testing.T, s *store.Store) map[string]func() error {
	ctx, id, who := t.Context(), hash(marker), "_"+marker
	pushed := grant.Pushed{ClientID: marker, State: marker, ArriveBy: noon.Add(time.Minute)}
	sam := person.Person{Subject: "_sam " + marker, Username: "sam " + marker, PasswordHash: marker, CreatedAt: noon}
	return map[string]func() error{
		"Push": func() error { return s.Push(ctx, hash("another "+marker), pushed) },
		"Visit": func() error {
			_, _, err := s.Visit(ctx, grant.Visit{RequestURI: id, ClientID: marker, New: hash("new " + marker)}, noon)
			return err
		},
		"Step":   func() error { _, _, err := s.Step(ctx, id, who, noon); return err },
		"Choose": func() error { _, _, err := s.Choose(ctx, id, who, []string{marker}, noon); return err },
		"Depart": func() error { _, err := s.Depart(ctx, id, id, noon); return err },
		"Return": func() error { _, _, err := s.Return(ctx, id, id, noon); return err },
		"Decide": func() error { _, _, err := s.Decide(ctx, id, who, nil, noon); return err },
		"RedeemCode": func() error {
			_, _, err := s.RedeemCode(ctx, id, grant.Attempt{ClientID: marker, Verifier: marker}, id, noon)
			return err
		},
		"Refresh":            func() error { _, _, err := s.Refresh(ctx, id, marker, noon); return err },
		"FindGrant":          func() error { _, _, err := s.FindGrant(ctx, marker); return err },
		"RevokeRefreshToken": func() error { _, _, err := giveUp(ctx, s, marker, marker); return err },
		"RevokeGrant": func() error {
			_, _, err := s.RevokeGrant(ctx, marker, grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", noon))
			return err
		},
		"Used":        func() error { return s.Used(ctx, marker, noon) },
		"FindConsent": func() error { _, _, err := s.FindConsent(ctx, marker); return err },
		"Consents":    func() error { _, err := s.Consents(ctx, "_"+marker, 5, noon); return err },
		"ListConsents": func() error {
			_, err := s.ListConsents(ctx, store.ConsentFilter{ClientID: marker}, "", 5, noon)
			return err
		},
		"AddPerson":     func() error { _, err := s.AddPerson(ctx, sam); return err },
		"FindPerson":    func() error { _, _, err := s.FindPerson(ctx, marker); return err },
		"People":        func() error { _, err := s.People(ctx); return err },
		"SetPassword":   func() error { _, err := s.SetPassword(ctx, marker, marker); return err },
		"DisablePerson": func() error { _, err := s.DisablePerson(ctx, marker, noon); return err },
		"ErasePerson":   func() error { _, err := s.ErasePerson(ctx, "erased "+marker); return err },
		"EnablePerson":  func() error { _, err := s.EnablePerson(ctx, "disabled "+marker); return err },
		"Recognise": func() error {
			_, err := s.Recognise(ctx, person.Identity{Issuer: marker, Subject: marker}, marker, "_of "+marker, noon)
			return err
		},
		"SignIn": func() error {
			_, err := s.SignIn(ctx, nil, hash("new "+marker), proven(who), lifetimes, noon)
			return err
		},
		"Session":             func() error { _, _, err := s.Session(ctx, id, lifetimes, noon); return err },
		"SignOut":             func() error { return s.SignOut(ctx, hash("another "+marker)) },
		"Attempt":             func() error { _, err := s.Attempt(ctx, id, noon); return err },
		"Forgive":             func() error { return s.Forgive(ctx, hash("another "+marker)) },
		"SweepAuthorizations": func() error { return s.SweepAuthorizations(ctx, threeYears, noon) },
	}
}

// furnish brings the client of marker an authorization by a person of the same name.
func furnish(t *testing.T, s *store.Store, operator *pgx.Conn) {
	t.Helper()
	addPeople(t, s, marker, "disabled "+marker, "erased "+marker)
	execute(t, operator, `UPDATE person SET disabled_at = $1 WHERE username LIKE 'disabled %'`, noon)
	for name, call := range authorizationCalls(t, s) {
		if name == "Push" || name == "SignIn" || name == "Attempt" {
			if err := call(); err != nil {
				t.Fatal(name, err)
			}
		}
	}
	id, who := hash(marker), "_"+marker
	execute(t, operator, `UPDATE pushed_request SET id = $1`, id)
	execute(t, operator, `UPDATE session SET id = $1`, id)
	execute(t, operator, `INSERT INTO interaction (id, request_id, opened_at, expires_at, subject, departure)
		VALUES ($1, $1, $2::timestamptz, $2::timestamptz + interval '15 minutes', $3, $1)`, id, noon, who)
	execute(t, operator, `INSERT INTO authorization_grant
			(id, client_id, subject, scope, auth_time, created_at, expires_at, refresh_token)
		VALUES ($1, $1, $2, '', $3::timestamptz, $3, $3::timestamptz + interval '1 year', $4)`, marker, who, noon, id)
	execute(t, operator, `INSERT INTO authorization_code
			(id, grant_id, client_id, redirect_uri, code_challenge, dpop_jkt, expires_at)
		VALUES ($1, $2, $2, '', '', '', $3::timestamptz + interval '1 minute')`, id, marker, noon)
}
