package store_test

import (
	"fmt"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// aMonth keeps consents for thirty days, and clients for sixty.
var aMonth = store.Retention{Consents: 30 * 24 * time.Hour, Clients: 60 * 24 * time.Hour}

// addGrants has alex allow the client, once for each pair of an id and its end, with a history; revoked says how many of
// them, from the first on, ended by being revoked.
func addGrants(t *testing.T, conn *pgx.Conn, clientID string, revoked int, ends map[string]time.Time, order ...string) {
	t.Helper()
	for i, id := range order {
		expires, ended := ends[id], (*time.Time)(nil)
		if i < revoked {
			expires, ended = ends[id].Add(300*24*time.Hour), new(ends[id])
		}
		execute(t, conn, `INSERT INTO authorization_grant
				(id, client_id, subject, scope, auth_time, created_at, expires_at, revoked_at)
			VALUES ($1, $2, '_alex', '', $3, $3, $4, $5)`, id, clientID, noon.Add(-24*time.Hour), expires, ended)
		execute(t, conn, `INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
			VALUES ($1, $2, 'given', 'approved', 'person', '', '', '', '')`, id, noon)
	}
}

// kept are the ids of the consents that there are, each of which has its history.
func kept(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	grants := ask[[]string](t, conn, `SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM authorization_grant`)
	histories := ask[[]string](t, conn, `
		SELECT coalesce(array_agg(DISTINCT grant_id ORDER BY grant_id), '{}') FROM grant_change`)
	if diff := cmp.Diff(grants, histories); diff != "" {
		t.Errorf("the consents, and those of which the history is kept (-consents +histories):\n%s", diff)
	}
	return grants
}

// TestSweepConsents: a consent is kept for as long as the operator says after its end, however it ended, and goes with its
// history. That its client is deleted or its person disabled by hand is no end of it.
func TestSweepConsents(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	addClients(t, s, "c1", "c2")
	addPeople(t, s, "alex")
	ends := map[string]time.Time{
		"revoked": noon, "expired": noon, "revoked later": noon.Add(time.Hour), "expires later": noon.Add(time.Hour),
	}
	addGrants(t, conn, "c1", 1, ends, "revoked", "expired")
	addGrants(t, conn, "c2", 1, ends, "revoked later", "expires later")
	if deleted, err := s.DeleteClient(t.Context(), "c2", nil, noon); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	execute(t, conn, `UPDATE person SET disabled_at = $1`, noon)
	for _, step := range []struct {
		at   time.Duration
		want []string
	}{
		{0, []string{"expired", "expires later", "revoked", "revoked later"}},
		{aMonth.Consents, []string{"expired", "expires later", "revoked", "revoked later"}},
		{aMonth.Consents + time.Millisecond, []string{"expires later", "revoked later"}},
		{aMonth.Consents + time.Hour, []string{"expires later", "revoked later"}},
		{aMonth.Consents + time.Hour + time.Millisecond, []string{}},
	} {
		if err := s.SweepAuthorizations(t.Context(), aMonth, noon.Add(step.at)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, kept(t, conn)); diff != "" {
			t.Errorf("at +%s (-want +kept):\n%s", step.at, diff)
		}
	}
}

// TestSweepConsentWithCode: a consent waits for its code to go before it, and nobody who redeems that waits for a sweeper.
func TestSweepConsentWithCode(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	approve(t, s)
	redeem(t, s, right(), noon, grant.Redeemed)
	if stopped, err := stop(t.Context(), s); !stopped || err != nil {
		t.Fatal(stopped, err)
	}
	late := noon.Add(aMonth.Consents + time.Hour)
	execute(t, conn, `UPDATE authorization_code SET expires_at = $1`, late)
	for _, after := range []time.Duration{0, time.Hour, time.Hour + time.Millisecond} {
		if err := s.SweepAuthorizations(t.Context(), aMonth, late.Add(after)); err != nil {
			t.Fatal(err)
		}
		want := []string{"grant 1"}
		if after > time.Hour {
			want = []string{}
		}
		if diff := cmp.Diff(want, kept(t, conn)); diff != "" {
			t.Errorf("+%s after the code's end (-want +kept):\n%s", after, diff)
		}
	}
}

// TestSweepManyConsents: whatever has piled up goes at once with several sweepers, and a consent that somebody is at work on
// is left without a wait.
func TestSweepManyConsents(t *testing.T) {
	url, stores := replicas(t)
	conn := connect(t, url)
	addClients(t, stores[0], "c1")
	addPeople(t, stores[0], "alex")
	execute(t, conn, `INSERT INTO authorization_grant (id, client_id, subject, scope, auth_time, created_at, expires_at)
		SELECT 'grant ' || n, 'c1', '_alex', '', $1, $1, $1 FROM generate_series(1, 2500) AS n`, noon)
	execute(t, conn, `INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
		SELECT id, $1, 'given', 'approved', 'person', '', '', '', '' FROM authorization_grant`, noon)
	execute(t, conn, `BEGIN`)
	execute(t, conn, `SELECT FROM authorization_grant WHERE id = 'grant 7' FOR NO KEY UPDATE`)
	sweep := func(n int) (bool, error) {
		return true, stores[n%3].SweepAuthorizations(t.Context(), aMonth, noon.Add(aMonth.Consents+time.Hour))
	}
	tally(t, 6, sweep)
	tally(t, 1, sweep)
	execute(t, conn, `COMMIT`)
	if left := kept(t, conn); fmt.Sprint(left) != "[grant 7]" {
		t.Errorf("%d are left", len(left))
	}
}

// TestSweepClients: what a deleted client had registered is kept for as long as the operator says, and while there is a
// consent of it. Its id is never given out again, and nothing of it comes back.
func TestSweepClients(t *testing.T) {
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	addClients(t, s, "active", "gone", "with a consent")
	addPeople(t, s, "alex")
	addGrants(t, conn, "with a consent", 0, map[string]time.Time{"long": noon.Add(90 * 24 * time.Hour)}, "long")
	for _, id := range []string{"active", "gone", "with a consent"} {
		set := client.FetchedKeySet{URI: "https://c.example/jwks", Raw: []byte("keys"), At: noon}
		if err := s.SaveKeySet(t.Context(), id, set); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"gone", "with a consent"} {
		if deleted, err := s.DeleteClient(t.Context(), id, nil, noon); !deleted || err != nil {
			t.Fatal(deleted, err)
		}
	}
	// holds are the clients of which there is more than the id.
	holds := func() []string {
		t.Helper()
		return ask[[]string](t, conn, `SELECT array_agg(id ORDER BY id) FROM client WHERE metadata::text <> '{}'
			OR registration_token_hash <> '' OR serves <> '{}'`)
	}
	for _, step := range []struct {
		at         time.Duration
		want, keys string
	}{
		{aMonth.Clients, "[active gone with a consent]", "[active gone with a consent]"},
		{aMonth.Clients + time.Millisecond, "[active with a consent]", "[active]"},
		{90*24*time.Hour + aMonth.Consents, "[active with a consent]", "[active]"},
		{90*24*time.Hour + aMonth.Consents + time.Millisecond, "[active]", "[active]"},
	} {
		for range 2 {
			if err := s.SweepAuthorizations(t.Context(), aMonth, noon.Add(step.at)); err != nil {
				t.Fatal(err)
			}
			keys := ask[[]string](t, conn, `SELECT array_agg(client_id ORDER BY client_id) FROM client_key_set`)
			if got := holds(); fmt.Sprint(got) != step.want || fmt.Sprint(keys) != step.keys {
				t.Errorf("at +%s %q are kept, with the keys of %q", step.at, got, keys)
			}
		}
	}
	got, found, err := s.Client(t.Context(), "gone")
	want := store.ListedClient{UpdatedAt: noon, Deleted: true, Client: client.Client{ID: "gone", IssuedAt: noon, Version: 2,
		RegistrationTokenHash: []byte{}, Serves: []string{}, AssertionAudience: client.IssuerOnly}}
	if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
		t.Errorf("the tombstone: %v, %v (-want +got):\n%s", found, err, diff)
	}
	if added, err := s.AddClient(t.Context(), registered("gone")); added || err != nil {
		t.Errorf("the id of a deleted client was given out: %v, %v", added, err)
	}
	if _, updated, err := s.UpdateClient(t.Context(), "gone", []byte{}, client.Metadata{}, noon); updated || err != nil {
		t.Errorf("a deleted client was changed: %v, %v", updated, err)
	}
	mustSpend(t, s, by("gone", 2, assertion("gone", "1")), stale)
}
