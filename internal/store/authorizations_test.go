package store_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store/storetest"

	"github.com/jackc/pgx/v5"
)

// life is what the orders of an authorization can change: c1's request with the tabs of alex and of kim, what alex has
// allowed before and does now, and alex' sessions. All is by the names that these tests hash.
type life struct {
	Decided, Deleted, Disabled bool
	Erased, Forgotten          bool                         // alex, and the request
	Tabs                       map[string]grant.Interaction // without what stands in the request's row
	Codes                      map[string]grant.Code        // without the grant
	Grants                     map[string]allowed
	Sessions                   map[string]bool
	Password                   string
}

// allowed is a grant with what the store keeps beside it.
type allowed struct {
	Grant   grant.Grant
	Refresh string // the name of its refresh token; "": it has none
	History []grant.Change
}

// with is the grant with one more entry in its history.
func (a allowed) with(c grant.Change) allowed {
	a.History = append(slices.Clip(a.History), c)
	return a
}

// revoked is the grant after its revocation.
func (a allowed) revoked(c grant.Change) allowed {
	a.Grant.RevokedAt, a.Grant.UpdatedAt = &c.At, c.At
	return a.with(c)
}

func (l life) clone() life {
	l.Tabs, l.Codes = maps.Clone(l.Tabs), maps.Clone(l.Codes)
	l.Grants, l.Sessions = maps.Clone(l.Grants), maps.Clone(l.Sessions)
	return l
}

// tab is an interaction as the store would read it.
func (l life) tab(cookie string) (i grant.Interaction, found bool) {
	i, found = l.Tabs[cookie]
	i.Request, i.Decided = request(), l.Decided
	return i, found
}

// keep is what the store would keep of an interaction.
func (l life) keep(cookie string, i grant.Interaction) {
	i.Request, i.Decided = grant.Pushed{}, false
	l.Tabs[cookie] = i
}

// lifeStage is a database for orders of an authorization to be played on: its beginning is kept beside it.
type lifeStage struct {
	t    *testing.T
	url  string
	conn *pgx.Conn
}

// lived are the tables that the orders change, those before that are referred to.
var lived = []string{
	"client", "person", "pushed_request", "interaction", "authorization_grant", "grant_change", "authorization_code", "session",
}

// newLifeStage begins every play with: alex' tab, gone to an upstream; kim's tab; three grants of an earlier yes by alex, 1
// for a month and 4 for once, whose codes nobody has redeemed, and 5 for a month with its refresh token; alex' session.
func newLifeStage(t *testing.T) lifeStage {
	t.Helper()
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	push(t, s)
	for _, a := range []*grant.Approval{consent(1, fdx.TimeBound), consent(4, fdx.OneTime), consent(5, fdx.TimeBound)} {
		visit(t, s, "tab")
		signIn(t, s, "tab", "_alex")
		if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", a, noon); d != grant.Decided || err != nil {
			t.Fatal(d, err)
		}
		execute(t, conn, `DELETE FROM pushed_request`)
		if err := s.Push(t.Context(), hash("request"), request()); err != nil {
			t.Fatal(err)
		}
	}
	visit(t, s, "alex' tab", "kim's tab")
	signIn(t, s, "alex' tab", "_alex")
	signIn(t, s, "kim's tab", "_kim")
	_, redeemed, err := s.RedeemCode(t.Context(), hash("code 5"), right(), hash("refresh 5"), noon)
	_, chosen, err2 := s.Choose(t.Context(), hash("alex' tab"), "_alex", []string{"a1"}, noon)
	left, err3 := s.Depart(t.Context(), hash("alex' tab"), hash("state"), noon)
	signedIn, err4 := s.SignIn(t.Context(), nil, hash("session"), proven("_alex"), lifetimes, noon)
	if err := errors.Join(err, err2, err3, err4); redeemed.Outcome != grant.Redeemed || !chosen || !left || !signedIn || err != nil {
		t.Fatal(redeemed, chosen, left, signedIn, err)
	}
	execute(t, conn, `CREATE SCHEMA beginning`)
	for _, table := range lived {
		execute(t, conn, `CREATE TABLE beginning.`+table+` AS SELECT * FROM `+table)
	}
	return lifeStage{t, url, conn}
}

func (s lifeStage) reset() {
	s.t.Helper()
	for _, table := range slices.Backward(lived) {
		execute(s.t, s.conn, `DELETE FROM `+table)
	}
	for _, table := range lived {
		execute(s.t, s.conn, `INSERT INTO `+table+` OVERRIDING SYSTEM VALUE SELECT * FROM beginning.`+table)
	}
}

// play schedules the ops in every order, each time from the beginning.
func (s lifeStage) play(name string, ops ...op[life]) {
	s.t.Run(name, func(t *testing.T) {
		look := func() life {
			l := s.look(t)
			l.lawful(t)
			return l
		}
		orders := schedule(t, s.url, s.reset, look, ops...)
		t.Logf("%d orders", orders)
		if orders < 2 {
			t.Error("nothing was interleaved")
		}
	})
}

// names are what is hashed in these orders.
var names = []string{
	"alex' tab", "kim's tab", "new tab", "another tab", "session", "new session", "another session",
	"code 1", "code 2", "code 3", "code 4", "code 5", "refresh 1", "refresh 4", "refresh 5",
}

// look reads the life from the database.
func (s lifeStage) look(t *testing.T) life {
	t.Helper()
	hashed := map[string]string{}
	for _, name := range names {
		hashed[string(hash(name))] = name
	}
	l := life{
		Tabs: map[string]grant.Interaction{}, Codes: map[string]grant.Code{}, Grants: map[string]allowed{}, Sessions: map[string]bool{},
	}
	if err := s.conn.QueryRow(t.Context(), `
		SELECT coalesce(r.decided_at IS NOT NULL, false), r.id IS NULL, c.status = 'deleted',
			p.disabled_at IS NOT NULL, coalesce(p.password_hash, ''), p.subject IS NULL
		FROM client c LEFT JOIN pushed_request r ON true LEFT JOIN person p ON p.username = 'alex' WHERE c.id = 'c1'`).
		Scan(&l.Decided, &l.Forgotten, &l.Deleted, &l.Disabled, &l.Password, &l.Erased); err != nil {
		t.Fatal(err)
	}
	var id []byte
	var i grant.Interaction
	each(t, s.conn, `SELECT id, opened_at, expires_at, subject, accounts, departure FROM interaction`,
		[]any{&id, &i.OpenedAt, &i.ExpiresAt, &i.Subject, &i.Accounts, &i.Departure},
		func() { l.Tabs[hashed[string(id)]] = i })
	var c grant.Code
	each(t, s.conn, `
		SELECT id, client_id, redirect_uri, code_challenge, dpop_jkt, nonce, expires_at, failures, spent, redeemed
		FROM authorization_code`,
		[]any{&id, &c.ClientID, &c.RedirectURI, &c.CodeChallenge, &c.JKT, &c.Nonce, &c.ExpiresAt, &c.Failures, &c.Spent,
			&c.Redeemed},
		func() { l.Codes[hashed[string(id)]] = c })
	var g grant.Grant
	each(t, s.conn, `
		SELECT id, client_id, subject, scope, resources, details, accounts, auth_time, acr, amr, sid, created_at, updated_at, used_at,
			expires_at, revoked_at, refresh_token FROM authorization_grant`,
		[]any{&g.ID, &g.ClientID, &g.Subject, &g.Scope, &g.Resources, &g.Details, &g.Accounts, &g.AuthTime, &g.ACR, &g.AMR, &g.SessionID,
			&g.CreatedAt, &g.UpdatedAt, &g.UsedAt, &g.ExpiresAt, &g.RevokedAt, &id},
		func() { l.Grants[g.ID] = allowed{Grant: g, Refresh: hashed[string(id)]} })
	var of string
	var h grant.Change
	each(t, s.conn, `SELECT grant_id, at, event, why, actor, by, reason, initiator, interaction_id FROM grant_change ORDER BY id`,
		[]any{&of, &h.At, &h.Event, &h.Why, &h.Actor, &h.By, &h.Revocation.Reason, &h.Revocation.Initiator, &h.InteractionID},
		func() { l.Grants[of] = l.Grants[of].with(h) })
	each(t, s.conn, `SELECT id FROM session`, []any{&id}, func() { l.Sessions[hashed[string(id)]] = true })
	return l
}

// each scans all rows of a query.
func each(t *testing.T, conn *pgx.Conn, query string, fields []any, row func()) {
	t.Helper()
	rows, _ := conn.Query(t.Context(), query)
	if _, err := pgx.ForEachRow(rows, fields, func() error { row(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// yes and no are the answers to a request. The grant, a consent for a month, and the code of a yes have a number.
func yes(subject string, n int) *grant.Approval {
	a := consent(n, fdx.TimeBound)
	a.Grant.Subject = subject
	return a
}

var no *grant.Approval

// TestAuthorizationOrders plays the concurrent steps of an authorization statement by statement in every order, and holds
// each end against the pure rules, one call after the other. The rest of the pairs is played by .ci/full.
func TestAuthorizationOrders(t *testing.T) {
	s := newLifeStage(t)
	s.play("AZ-19 two tabs decide", deciding("alex' tab", "_alex", yes("_alex", 2)), deciding("kim's tab", "_kim", yes("_kim", 3)))
	s.play("AZ-19 one tab decides twice", deciding("alex' tab", "_alex", yes("_alex", 2)), deciding("alex' tab", "_alex", yes("_alex", 3)))
	s.play("AZ-18 another signs in while alex decides", deciding("alex' tab", "_alex", yes("_alex", 2)), stepping("alex' tab", "_kim"))
	s.play("a choice comes while another signs in", choosing("alex' tab", "_alex", "a2"), stepping("alex' tab", "_kim"))
	s.play("a departure returns twice", returning("alex' tab", "state"), returning("alex' tab", "state"))
	s.play("a departure returns while the browser leaves anew", returning("alex' tab", "state"), departing("alex' tab", "another state"))
	s.play("two browsers arrive", visiting("", "new tab"), visiting("kim's tab", "another tab"))
	s.play("a browser arrives at a decision", visiting("alex' tab", "new tab"), deciding("kim's tab", "_kim", no))
	s.play("the person is disabled while deciding", deciding("alex' tab", "_alex", yes("_alex", 2)), disabling())
	s.play("the client is deleted while deciding", deciding("alex' tab", "_alex", yes("_alex", 2)), deletingC1())
	s.play("a person signs in while being disabled", signingIn("session", "new session"), disabling())
	s.play("a person signs in while the password changes", signingIn("", "new session"), settingPassword())
	s.play("a session is used while its person is disabled", usingSession(), disabling())
}
