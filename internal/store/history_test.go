package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

// entries are the rows of a grant's history, in the words in which the database keeps them.
func entries(t *testing.T, conn *pgx.Conn, id string) []string {
	t.Helper()
	return ask[[]string](t, conn, `
		SELECT coalesce(array_agg(format('+%s %s %s by %s "%s" in "%s" %s %s', at - $2, event, why, actor, by, interaction_id,
			reason, initiator) ORDER BY id), '{}') FROM grant_change WHERE grant_id = $1`, id, noon)
}

// TestHistoryOfWhatIsOver: nobody ends what was over by itself, whoever gives up its refresh token or is disabled then. The
// person would read that the app, or the bank, had stopped it.
func TestHistoryOfWhatIsOver(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	approve(t, s)
	redeem(t, s, right(), noon, grant.Redeemed)
	want, late := entries(t, conn, "grant 1"), noon.Add(fdx.MaxLife)
	id, revoked, err := s.RevokeRefreshToken(t.Context(), hash("refresh"), grant.Stopped(grant.RefreshTokenRevoked, "c1", "", late))
	if id != "grant 1" || revoked || err != nil {
		t.Errorf("the refresh token: %s, %v, %v", id, revoked, err)
	}
	if disabled, err := s.DisablePerson(t.Context(), "alex", late); !disabled || err != nil {
		t.Errorf("disabled: %v, %v", disabled, err)
	}
	c, _, err := s.FindConsent(t.Context(), "grant 1")
	if status := c.Status(late); status != fdx.Expired || err != nil {
		t.Errorf("the consent is %s, %v", status, err)
	}
	if diff := cmp.Diff(want, entries(t, conn, "grant 1")); diff != "" {
		t.Error(diff)
	}
}

// TestHistory: each change of a grant is one entry that says what became of it, when, why, by whom and by which request.
// What changes nothing is none.
func TestHistory(t *testing.T) {
	given := `+00:00:00 given approved by person "" in "the yes"  `
	fetched := `+00:00:00 fetched code_redeemed by client "c1" in "the token request"  `
	revoke := func(by grant.Owner, c grant.Change) func(*testing.T, *store.Store) bool {
		return func(t *testing.T, s *store.Store) bool {
			_, became, err := s.RevokeGrant(t.Context(), "grant 1", by, c)
			if err != nil {
				t.Fatal(err)
			}
			return became == grant.Ended
		}
	}
	for name, test := range map[string]struct {
		end  func(*testing.T, *store.Store) (ended bool)
		want string
	}{
		"stopped by the person": {
			revoke(grant.Owner{Subject: "_alex"}, grant.Stopped(grant.PersonStopped, "", "request", minute)),
			`+00:01:00 revoked person_stopped by person "" in "request" USER_ACTION INDIVIDUAL`,
		},
		"stopped by the client": {
			revoke(grant.Owner{ClientID: "c1"}, grant.StoppedByClient("c1", inWords, "request", minute)),
			`+00:01:00 revoked client_stopped by client "c1" in "request" USER_ACTION MERCHANT`,
		},
		"stopped by the operator": {
			revoke(grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", minute)),
			`+00:01:00 revoked operator_stopped by operator "" in "" BUSINESS_RULE DATA_PROVIDER`,
		},
		"its refresh token revoked": {func(t *testing.T, s *store.Store) bool {
			c := grant.Stopped(grant.RefreshTokenRevoked, "c1", "request", minute)
			_, revoked, err := s.RevokeRefreshToken(t.Context(), hash("refresh"), c)
			if err != nil {
				t.Fatal(err)
			}
			return revoked
		}, `+00:01:00 revoked refresh_token_revoked by client "c1" in "request" BUSINESS_RULE DATA_RECIPIENT`},
		"CG-02 its code replayed": {func(t *testing.T, s *store.Store) bool {
			return redeem(t, s, right(), minute, grant.CodeReplayed).RevokedAt != nil
		}, `+00:01:00 revoked code_replayed by server "c1" in "the token request" BUSINESS_RULE DATA_PROVIDER`},
		"its person disabled": {func(t *testing.T, s *store.Store) bool {
			disabled, err := s.DisablePerson(t.Context(), "alex", minute)
			if err != nil {
				t.Fatal(err)
			}
			return disabled
		}, `+00:01:00 revoked person_disabled by operator "" in "" BUSINESS_RULE DATA_PROVIDER`},
	} {
		t.Run(name, func(t *testing.T) {
			url := storetest.URL(t)
			s, conn := storetest.Open(t, url), connect(t, url)
			approveAs(t, s, consent(1, fdx.TimeBound))
			changesNothing(t, s)
			wrong := right()
			wrong.Verifier = ""
			redeem(t, s, wrong, noon, grant.WrongVerifier)
			wantHistory(t, conn, given)
			redeem(t, s, right(), noon, grant.Redeemed)
			if err := s.Used(t.Context(), "grant 1", noon.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			changesNothing(t, s)
			wantHistory(t, conn, given, fetched)
			if !test.end(t, s) {
				t.Error("it has not ended")
			}
			wantHistory(t, conn, given, fetched, test.want)
			if test.end(t, s) {
				t.Error("it has ended once more")
			}
			changesNothing(t, s)
			for _, stop := range []func(*testing.T, *store.Store) bool{
				revoke(grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", minute)),
				func(t *testing.T, s *store.Store) bool {
					redeem(t, s, right(), minute, grant.CodeReplayed)
					_, revoked, err := giveUp(t.Context(), s, "refresh", "c1")
					return revoked || err != nil
				},
			} {
				if stop(t, s) {
					t.Error("it has ended in another way too")
				}
			}
			wantHistory(t, conn, given, fetched, test.want)
		})
	}
}

// approveAs brings alex' yes of this kind into the store.
func approveAs(t *testing.T, s *store.Store, a *grant.Approval) {
	t.Helper()
	push(t, s)
	visit(t, s, "tab")
	signIn(t, s, "tab", "_alex")
	if _, d, err := s.Decide(t.Context(), hash("tab"), "_alex", a, noon); d != grant.Decided || err != nil {
		t.Fatal(d, err)
	}
}

// wantHistory wants the history of grant 1 to be these entries.
func wantHistory(t *testing.T, conn *pgx.Conn, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, entries(t, conn, "grant 1")); diff != "" {
		t.Errorf("the history (-want +written):\n%s", diff)
	}
}

// changesNothing does to grant 1 what strangers, late-comers and those who only look may try.
func changesNothing(t *testing.T, s *store.Store) {
	t.Helper()
	stranger := right()
	stranger.ClientID = "c2"
	redeem(t, s, stranger, noon, grant.CodeUnknown)
	for _, by := range []grant.Owner{{ClientID: "c2"}, {Subject: "_kim"}, {ClientID: "c2", Subject: "_alex"}} {
		_, became, err := s.RevokeGrant(t.Context(), "grant 1", by, grant.Stopped(grant.PersonStopped, "", "", noon))
		if became != grant.NoGrant || err != nil {
			t.Errorf("%+v ends it: %s, %v", by, became, err)
		}
	}
	late := grant.Stopped(grant.OperatorStopped, "", "", noon.Add(fdx.MaxLife))
	_, became, err := s.RevokeGrant(t.Context(), "grant 1", grant.Owner{}, late)
	_, revoked, err2 := giveUp(t.Context(), s, "refresh", "c2")
	_, _, err3 := s.Refresh(t.Context(), hash("refresh"), "c1", noon)
	_, err4 := s.DisablePerson(t.Context(), "kim", noon)
	if became != grant.EndedBefore || revoked || err != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Error(became, revoked, err, err2, err3, err4)
	}
}

// TestHistoryIsKept: no entry is ever changed, not even by the role that owns the table, and it goes with its grant alone.
func TestHistoryIsKept(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	approve(t, s)
	before := entries(t, conn, "grant 1")
	if !ask[bool](t, conn, `SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'grant_change'`) {
		t.Fatal("this is not the owner")
	}
	for _, change := range []string{
		`UPDATE grant_change SET why = 'code_redeemed'`, `UPDATE grant_change SET at = at WHERE false`,
		`INSERT INTO grant_change OVERRIDING SYSTEM VALUE SELECT * FROM grant_change ON CONFLICT (id) DO UPDATE SET by = 'c2'`,
		`INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
			VALUES ('grant 1', now(), 'forgotten', '', '', '', '', '', '')`,
		`INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
			VALUES ('grant 2', now(), 'given', '', '', '', '', '', '')`,
	} {
		if _, err := conn.Exec(t.Context(), change); err == nil {
			t.Errorf("the database does %s", change)
		}
	}
	if diff := cmp.Diff(before, entries(t, conn, "grant 1")); diff != "" || len(before) != 1 {
		t.Errorf("(-before +after):\n%s", diff)
	}
	execute(t, conn, `DELETE FROM authorization_code`)
	execute(t, conn, `DELETE FROM authorization_grant`)
	if n := ask[int](t, conn, `SELECT count(*)::int FROM grant_change`); n != 0 {
		t.Errorf("%d entries of no grant", n)
	}
}

// TestDisableMany: all that a person has allowed ends, each with one entry; what had been revoked keeps the entry of then.
func TestDisableMany(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	addClients(t, s, "c1")
	addPeople(t, s, "alex", "kim")
	execute(t, conn, `INSERT INTO authorization_grant (id, client_id, subject, scope, auth_time, created_at, expires_at)
		SELECT 'grant ' || n, 'c1', CASE WHEN n = 1 THEN '_kim' ELSE '_alex' END, '', $1, $1, $1::timestamptz + interval '1 year'
		FROM generate_series(1, 3000) AS n`, noon)
	_, became, err := s.RevokeGrant(t.Context(), "grant 2", grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", noon))
	if became != grant.Ended || err != nil {
		t.Fatal(became, err)
	}
	for _, want := range []bool{true, false} {
		if disabled, err := s.DisablePerson(t.Context(), "alex", minute); disabled != want || err != nil {
			t.Fatal(disabled, err)
		}
	}
	ended := ask[[]string](t, conn, `
		SELECT array_agg(line ORDER BY line) FROM (
			SELECT format('%s %s %s', count(*), c.why, g.revoked_at - $1) AS line
			FROM authorization_grant g LEFT JOIN grant_change c ON c.grant_id = g.id GROUP BY c.why, g.revoked_at
		) AS lines`, noon)
	want := []string{"1  ", "1 operator_stopped 00:00:00", "2998 person_disabled 00:01:00"}
	if diff := cmp.Diff(want, ended); diff != "" {
		t.Errorf("how many ended why and when (-want +got):\n%s", diff)
	}
}

// TestConsentsUpAndDown: grants of before have a history that begins with the yes, an older program goes on giving and
// revoking, and the way back keeps all that it knew.
func TestConsentsUpAndDown(t *testing.T) {
	url := storetest.Empty(t)
	conn := connect(t, url)
	upTo := func(version int64) {
		t.Helper()
		withGoose(t, url, func(p *goose.Provider) error { _, err := p.UpTo(t.Context(), version); return err })
	}
	older := func(id string, revoked *time.Time) { // what the program of before does
		t.Helper()
		execute(t, conn, `
			INSERT INTO authorization_grant
				(id, client_id, subject, scope, resources, accounts, auth_time, acr, amr, created_at, expires_at)
			VALUES ($1, 'c1', '_alex', 'a:read', '{}', '{a1}', $2, 'acr', '{pwd}', $2, $3)`, id, noon, noon.Add(fdx.MaxLife))
		execute(t, conn, `UPDATE authorization_grant SET revoked_at = $2 WHERE id = $1`, id, revoked)
	}
	kept := func() []string {
		t.Helper()
		return ask[[]string](t, connect(t, url), `
			SELECT array_agg(format('%s %s %s %s %s', id, scope, accounts, created_at - $1, revoked_at - $1) ORDER BY id)
			FROM authorization_grant`, noon)
	}
	upTo(4)
	before := schema(t, url)
	execute(t, conn, `INSERT INTO client (id, issued_at, updated_at, metadata, registration_token_hash)
		VALUES ('c1', $1, $1, '{"client_name":"One"}', '')`, noon)
	execute(t, conn, `INSERT INTO person (subject, username, password_hash, created_at)
		VALUES ('_alex', 'alex', 'hash', $1)`, noon)
	older("alive", nil)
	older("revoked", &minute)
	upTo(5)
	older("under 5", nil)
	upTo(6)
	s := storetest.Open(t, url)
	given := []grant.Change{grant.GivenBy("", noon)}
	for id, want := range map[string]struct {
		revoked, updated time.Time
		history          []grant.Change
	}{
		"alive": {time.Time{}, noon, given}, "revoked": {minute, minute, given}, "under 5": {time.Time{}, time.Time{}, nil},
	} {
		c, found, err := s.FindConsent(t.Context(), id)
		if err != nil || !found || c.ClientName != "One" || c.ConsentID() != "" || c.SessionID != "" || c.UsedAt != nil {
			t.Errorf("%s: %+v, %v, %v", id, c, found, err)
		}
		if (c.RevokedAt != nil) != !want.revoked.IsZero() || !want.updated.IsZero() && !c.UpdatedAt.Equal(want.updated) {
			t.Errorf("%s was revoked at %v, changed at %v", id, c.RevokedAt, c.UpdatedAt)
		}
		if diff := cmp.Diff(want.history, c.History); diff != "" {
			t.Errorf("%s: the history (-want +got):\n%s", id, diff)
		}
	}
	for _, id := range []string{"alive", "under 5"} {
		_, became, err := s.RevokeGrant(t.Context(), id, grant.Owner{}, grant.Stopped(grant.OperatorStopped, "", "", minute))
		if became != grant.Ended || err != nil {
			t.Errorf("%s: %s, %v", id, became, err)
		}
	}
	want := []string{}
	for _, id := range []string{"alive", "revoked", "under 5"} {
		want = append(want, id+" a:read {a1} 00:00:00 00:01:00")
	}
	down(t, url, 4)
	if diff := cmp.Diff(before, schema(t, url)); diff != "" {
		t.Errorf("the schema (-before +after):\n%s", diff)
	}
	for _, step := range []int64{4, 6} {
		upTo(step)
		if diff := cmp.Diff(want, kept()); diff != "" {
			t.Errorf("at %d (-want +kept):\n%s", step, diff)
		}
	}
	again := storetest.Open(t, url)
	if c, _, err := again.FindConsent(t.Context(), "under 5"); err != nil || !cmp.Equal(c.History, given) {
		t.Errorf("the second time up: %v, %s", err, strings.TrimSpace(fmt.Sprint(c.History)))
	}
}
