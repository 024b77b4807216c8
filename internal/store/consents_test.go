package store_test

import (
	"fmt"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// TestFindConsent: a consent is found as it was given, with its client's name and all that became of it, also when it is
// over and its client is gone; a stranger's text is no consent's id.
func TestFindConsent(t *testing.T) {
	s := storetest.New(t)
	yes := consent(1, fdx.TimeBound)
	approveAs(t, s, yes)
	want := grant.Consent{Grant: yes.Grant, ClientName: "client c1", History: []grant.Change{grant.GivenBy("the yes", noon)}}
	found := func() {
		t.Helper()
		got, found, err := s.FindConsent(t.Context(), "grant 1")
		if diff := cmp.Diff(want, got); diff != "" || !found || err != nil {
			t.Errorf("found %v, %v (-want +got):\n%s", found, err, diff)
		}
	}
	found()
	redeem(t, s, right(), noon, grant.Redeemed)
	want.UsedAt, want.History = &noon, append(want.History, grant.FetchedBy("c1", "the token request", noon))
	found()
	gone := noon.Add(time.Second)
	if deleted, err := s.DeleteClient(t.Context(), "c1", nil, gone); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	want.ClientGone = &gone
	found()
	stop := grant.Stopped(grant.PersonStopped, "", "the stop", noon) // all at one time: the order is that of the changes
	_, became, err := s.RevokeGrant(t.Context(), "grant 1", grant.Owner{Subject: "_alex"}, stop)
	if became != grant.Ended || err != nil {
		t.Fatal(became, err)
	}
	want.RevokedAt, want.History = &noon, append(want.History, stop)
	found()
	for _, id := range []string{"", "grant", "grant 2", "GRANT 1", "grant 1\x00", "grant 1\xff", "_alex", "c1"} {
		if c, found, err := s.FindConsent(t.Context(), id); found || err != nil || c.ID != "" {
			t.Errorf("%q: %+v, %v, %v", id, c, found, err)
		}
	}
}

// allow has somebody allow a client something: from so many minutes after noon on, until a day after noon or until then.
func allow(t *testing.T, conn *pgx.Conn, id, clientID, subject string, from int, ended *time.Time, revoked bool) {
	t.Helper()
	expires, revokedAt := noon.Add(24*time.Hour), (*time.Time)(nil)
	switch {
	case revoked:
		revokedAt = ended
	case ended != nil:
		expires = *ended
	}
	execute(t, conn, `INSERT INTO authorization_grant
			(id, client_id, subject, scope, auth_time, created_at, expires_at, revoked_at)
		VALUES ($1, $2, $3, '', $4, $5, $6, $7)`, id, clientID, subject, noon, after(from), expires, revokedAt)
	execute(t, conn, `INSERT INTO grant_change (grant_id, at, event, why, actor, by, reason, initiator, interaction_id)
		VALUES ($1, $2, 'given', 'approved', 'person', '', '', '', $1)`, id, after(from))
}

func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// ids are those of consents, each with the number of entries in its history.
func ids(all []grant.Consent) string {
	list := []string{}
	for _, c := range all {
		list = append(list, fmt.Sprint(c.ID, len(c.History)))
	}
	return fmt.Sprint(list)
}

// furnished is a store with consents of alex and of kim for c1, c2 and the deleted gone, as they are an hour after noon.
func furnished(t *testing.T) *store.Store {
	t.Helper()
	url := storetest.URL(t)
	s, conn := storetest.Open(t, url), connect(t, url)
	addClients(t, s, "c1", "c2", "gone")
	addPeople(t, s, "alex", "kim")
	at := func(minutes int) *time.Time { return new(after(minutes)) }
	allow(t, conn, "b", "c1", "_alex", 1, nil, false)
	allow(t, conn, "d", "c2", "_alex", 2, nil, false)
	allow(t, conn, "c", "c1", "_alex", 2, nil, false)
	allow(t, conn, "expired", "c1", "_alex", 3, at(60), false)
	allow(t, conn, "revoked", "c1", "_alex", 4, at(59), true)
	allow(t, conn, "early", "c2", "_alex", 5, at(10), true)
	allow(t, conn, "orphan", "gone", "_alex", 6, nil, false)
	allow(t, conn, "a", "c1", "_kim", 7, nil, false)
	allow(t, conn, "e", "c2", "_kim", 8, at(30), false)
	if deleted, err := s.DeleteClient(t.Context(), "gone", nil, after(20)); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	return s
}

// TestConsents: a person sees all that is alive, the newest first, and then the last of what is over; only their own.
func TestConsents(t *testing.T) {
	s := furnished(t)
	for _, test := range []struct {
		subject string
		over    int
		minutes int
		want    string
	}{
		{"_alex", 9, 60, "[c1 d1 b1 expired1 revoked1 orphan1 early1]"},
		{"_alex", 2, 60, "[c1 d1 b1 expired1 revoked1]"},
		{"_alex", 0, 60, "[c1 d1 b1]"},
		{"_alex", 9, 59, "[expired1 c1 d1 b1 revoked1 orphan1 early1]"},
		{"_alex", 9, 24 * 60, "[b1 c1 d1 expired1 revoked1 orphan1 early1]"},
		{"_kim", 9, 60, "[a1 e1]"},
		{"_sam", 9, 60, "[]"},
		{"", 9, 60, "[]"},
	} {
		all, err := s.Consents(t.Context(), test.subject, test.over, after(test.minutes))
		if got := ids(all); got != test.want || err != nil {
			t.Errorf("%s's, and %d that are over at +%dm: %s, %v, want %s", test.subject, test.over, test.minutes, got, err,
				test.want)
		}
		for _, c := range all {
			if c.Subject != test.subject || c.History[0].InteractionID != c.ID || c.ClientName != "client "+c.ClientID ||
				(c.ClientGone != nil) != (c.ClientID == "gone") {
				t.Errorf("%+v", c)
			}
		}
	}
}

// TestListConsents: the operator sees those that are asked for, page by page in the order of their ids, without history.
func TestListConsents(t *testing.T) {
	s := furnished(t)
	for _, test := range []struct {
		filter store.ConsentFilter
		after  string
		limit  int
		want   string
	}{
		{store.ConsentFilter{}, "", 99, "[a0 b0 c0 d0 e0 early0 expired0 orphan0 revoked0]"},
		{store.ConsentFilter{}, "", 2, "[a0 b0]"},
		{store.ConsentFilter{}, "b", 2, "[c0 d0]"},
		{store.ConsentFilter{}, "revoked", 2, "[]"},
		{store.ConsentFilter{Alive: true}, "", 99, "[a0 b0 c0 d0]"},
		{store.ConsentFilter{ClientID: "c2"}, "", 99, "[d0 e0 early0]"},
		{store.ConsentFilter{ClientID: "gone"}, "", 99, "[orphan0]"},
		{store.ConsentFilter{ClientID: "gone", Alive: true}, "", 99, "[]"},
		{store.ConsentFilter{Subject: "_kim"}, "", 99, "[a0 e0]"},
		{store.ConsentFilter{ClientID: "c1", Subject: "_alex", Alive: true}, "b", 99, "[c0]"},
		{store.ConsentFilter{Subject: "_sam"}, "", 99, "[]"},
	} {
		all, err := s.ListConsents(t.Context(), test.filter, test.after, test.limit, after(60))
		if got := ids(all); got != test.want || err != nil {
			t.Errorf("%+v, %d behind %q: %s, %v, want %s", test.filter, test.limit, test.after, got, err, test.want)
		}
	}
}
