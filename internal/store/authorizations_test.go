package store_test

import (
	"maps"
	"testing"

	"authserver/internal/grant"
	"authserver/internal/store/storetest"

	"github.com/jackc/pgx/v5"
)

// life is what the orders of an authorization can change: c1's request with the tabs of alex and of kim, what alex has
// allowed before and does now, and alex' sessions. All is by the names that these tests hash.
type life struct {
	Decided, Deleted, Disabled bool
	Tabs                       map[string]grant.Interaction // without what stands in the request's row
	Codes                      map[string]grant.Code
	Revoked                    map[string]bool // grants
	Refresh                    bool            // grant 1 has its refresh token
	Sessions                   map[string]bool
	Password                   string
}

func (l life) clone() life {
	l.Tabs, l.Codes = maps.Clone(l.Tabs), maps.Clone(l.Codes)
	l.Revoked, l.Sessions = maps.Clone(l.Revoked), maps.Clone(l.Sessions)
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
var lived = []string{"pushed_request", "interaction", "authorization_grant", "authorization_code", "session"}

// newLifeStage begins every play with: alex' tab, gone to an upstream; kim's tab; grant 1 of an earlier yes by alex, whose
// code 1 nobody has redeemed; alex' session.
func newLifeStage(t *testing.T) lifeStage {
	t.Helper()
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	approve(t, s)
	execute(t, conn, `DELETE FROM pushed_request`)
	if err := s.Push(t.Context(), hash("request"), request()); err != nil {
		t.Fatal(err)
	}
	visit(t, s, "alex' tab", "kim's tab")
	signIn(t, s, "alex' tab", "_alex")
	signIn(t, s, "kim's tab", "_kim")
	_, chosen, err := s.Choose(t.Context(), hash("alex' tab"), "_alex", []string{"a1"}, noon)
	left, err2 := s.Depart(t.Context(), hash("alex' tab"), hash("state"), noon)
	signedIn, err3 := s.SignIn(t.Context(), nil, hash("session"), proven("_alex"), lifetimes, noon)
	if !chosen || !left || !signedIn || err != nil || err2 != nil || err3 != nil {
		t.Fatal(chosen, err, left, err2, signedIn, err3)
	}
	execute(t, conn, `CREATE SCHEMA beginning`)
	for _, table := range lived {
		execute(t, conn, `CREATE TABLE beginning.`+table+` AS SELECT * FROM `+table)
	}
	return lifeStage{t, url, conn}
}

func (s lifeStage) reset() {
	s.t.Helper()
	execute(s.t, s.conn, `DELETE FROM session`)
	execute(s.t, s.conn, `DELETE FROM authorization_grant`)
	execute(s.t, s.conn, `DELETE FROM pushed_request`)
	for _, table := range lived {
		execute(s.t, s.conn, `INSERT INTO `+table+` SELECT * FROM beginning.`+table)
	}
	execute(s.t, s.conn, `UPDATE client SET status = 'active'`)
	execute(s.t, s.conn, `UPDATE person SET disabled_at = NULL, password_hash = 'hash of ' || username`)
}

// play schedules the ops in every order, each time from the beginning.
func (s lifeStage) play(name string, ops ...op[life]) {
	s.playAfter(name, `SELECT`, ops...)
}

// playAfter begins with a statement behind the beginning.
func (s lifeStage) playAfter(name, statement string, ops ...op[life]) {
	reset := func() {
		s.reset()
		execute(s.t, s.conn, statement)
	}
	s.t.Run(name, func(t *testing.T) {
		orders := schedule(t, s.url, reset, func() life { return s.look(t) }, ops...)
		t.Logf("%d orders", orders)
		if orders < 2 {
			t.Error("nothing was interleaved")
		}
	})
}

// names are what is hashed in these orders.
var names = []string{
	"alex' tab", "kim's tab", "new tab", "another tab", "code 1", "code 2", "code 3", "session", "new session", "another session",
}

// look reads the life from the database.
func (s lifeStage) look(t *testing.T) life {
	t.Helper()
	hashed := map[string]string{}
	for _, name := range names {
		hashed[string(hash(name))] = name
	}
	l := life{
		Tabs: map[string]grant.Interaction{}, Codes: map[string]grant.Code{}, Revoked: map[string]bool{}, Sessions: map[string]bool{},
	}
	if err := s.conn.QueryRow(t.Context(), `
		SELECT (SELECT decided_at IS NOT NULL FROM pushed_request), (SELECT status = 'deleted' FROM client WHERE id = 'c1'),
			(SELECT disabled_at IS NOT NULL FROM person WHERE username = 'alex'),
			(SELECT password_hash FROM person WHERE username = 'alex'),
			(SELECT refresh_token IS NOT NULL FROM authorization_grant WHERE id = 'grant 1')`).
		Scan(&l.Decided, &l.Deleted, &l.Disabled, &l.Password, &l.Refresh); err != nil {
		t.Fatal(err)
	}
	var id []byte
	var i grant.Interaction
	each(t, s.conn, `SELECT id, opened_at, expires_at, subject, accounts, departure FROM interaction`,
		[]any{&id, &i.OpenedAt, &i.ExpiresAt, &i.Subject, &i.Accounts, &i.Departure},
		func() { l.Tabs[hashed[string(id)]] = i })
	var c grant.Code
	each(t, s.conn, `
		SELECT id, client_id, redirect_uri, code_challenge, dpop_jkt, expires_at, failures, spent, redeemed FROM authorization_code`,
		[]any{&id, &c.ClientID, &c.RedirectURI, &c.CodeChallenge, &c.JKT, &c.ExpiresAt, &c.Failures, &c.Spent, &c.Redeemed},
		func() { l.Codes[hashed[string(id)]] = c })
	var grantID string
	var revoked bool
	each(t, s.conn, `SELECT id, revoked_at IS NOT NULL FROM authorization_grant`, []any{&grantID, &revoked},
		func() { l.Revoked[grantID] = revoked })
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

// yes and no are the answers to a request. The grant and the code of a yes have a number.
func yes(subject string, n int) *grant.Approval {
	a := approval(n)
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
	s.play("CG-03 a code is redeemed twice", redeeming(right()), redeeming(right()))
	s.play("a code is redeemed while its grant is revoked", redeeming(right()), revokingGrant())
	s.playAfter("CG-02 a code is replayed while its grant is revoked",
		`UPDATE authorization_code SET spent = true, redeemed = true`, redeeming(right()), revokingGrant())
	s.play("a code is redeemed while its person is disabled", redeeming(right()), disabling())
	s.play("a person signs in while being disabled", signingIn("session", "new session"), disabling())
	s.play("a person signs in while the password changes", signingIn("", "new session"), settingPassword())
	s.play("a session is used while its person is disabled", usingSession(), disabling())
}
