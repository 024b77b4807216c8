package store_test

import (
	"fmt"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/replay"
	"authserver/internal/store/storetest"
)

// TestSpend plays short stories on a database with two clients, a and b, at version 1.
func TestSpend(t *testing.T) {
	type step struct {
		spend replay.Spend
		want  replay.Outcome
	}
	for name, story := range map[string][]step{
		"fresh, then again": {
			{by("a", 1, assertion("a", "1"), proof("key", "1")), spent},
			{by("a", 1, assertion("a", "1"), proof("key", "1")), replayedAssertion},
			{by("a", 1, assertion("a", "1"), proof("key", "2")), replayedAssertion},
			{by("a", 1, assertion("a", "2"), proof("key", "1")), replayedProof},
		},
		"a replayed proof uses up the assertion beside it": {
			{by("a", 1, proof("key", "1")), spent},
			{by("a", 1, assertion("a", "1"), proof("key", "1")), replayedProof},
			{by("a", 1, assertion("a", "1"), proof("key", "2")), replayedAssertion},
		},
		"a stale version spends nothing": {
			{by("a", 2, assertion("a", "1"), proof("key", "1")), stale},
			{by("a", 0, assertion("a", "1"), proof("key", "1")), stale},
			{by("a", 1, assertion("a", "1"), proof("key", "1")), spent},
		},
		"stale comes before replayed": {
			{by("a", 1, assertion("a", "1")), spent},
			{by("a", 2, assertion("a", "1")), stale},
		},
		"an unknown client spends nothing": {
			{by("nobody", 1, proof("key", "1")), stale},
			{by("a", 1, proof("key", "1")), spent},
		},
		"no client to join": {
			{by("", 0, proof("key", "1")), spent},
			{by("", 0, proof("key", "1")), replayedProof},
			{by("a", 1, proof("key", "1")), replayedProof},
		},
		"no uses: the join alone": {
			{by("a", 1), spent},
			{by("a", 1), spent},
			{by("a", 2), stale},
			{by("nobody", 1), stale},
			{by("", 0), spent},
		},
		"two clients with one jti": {
			{by("a", 1, assertion("a", "1")), spent},
			{by("b", 1, assertion("b", "1")), spent},
			{by("a", 1, assertion("a", "1")), replayedAssertion},
			{by("b", 1, assertion("b", "1")), replayedAssertion},
		},
		"two keys with one jti": {
			{by("a", 1, proof("key 1", "1")), spent},
			{by("a", 1, proof("key 2", "1")), spent},
			{by("a", 1, proof("key 1", "1")), replayedProof},
		},
		"an assertion and a proof with one owner and jti": {
			{by("a", 1, replay.NewUse(replay.Assertion, "a", "1", noon), replay.NewUse(replay.Proof, "a", "1", noon)), spent},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			addClients(t, s, "a", "b")
			for _, step := range story {
				mustSpend(t, s, step.spend, step.want)
			}
		})
	}
}

// TestSpendAfterChange: a change of the client, whatever it is, makes the old version stale and spends nothing.
func TestSpendAfterChange(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "updated", "replaced", "imported", "same", "deleted", "fetched")
	if _, _, err := s.UpdateClient(t.Context(), "updated", nil, registered("updated").Metadata, noon); err != nil {
		t.Fatal(err)
	}
	replaced := registered("replaced")
	replaced.Version = 1
	if done, err := s.ReplaceClient(t.Context(), replaced, noon); !done || err != nil {
		t.Fatal(done, err)
	}
	imported := registered("imported")
	imported.Unbound = true
	if _, err := s.ImportClients(t.Context(), []client.Client{imported, registered("same")}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteClient(t.Context(), "deleted", nil, noon); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveKeySet(t.Context(), "fetched", keySet("https://keys.example", noon)); err != nil {
		t.Fatal(err)
	}
	for _, changed := range []string{"updated", "replaced", "imported"} {
		mustSpend(t, s, by(changed, 1, assertion(changed, "1")), stale)
		mustSpend(t, s, by(changed, 2, assertion(changed, "1")), spent)
	}
	for version := range int64(4) {
		mustSpend(t, s, by("deleted", version, assertion("deleted", "1")), stale)
		mustSpend(t, s, by("deleted", version), stale)
	}
	mustSpend(t, s, by("", 0, assertion("deleted", "1")), spent) // nothing of the refused ones was kept
	mustSpend(t, s, by("fetched", 1, assertion("fetched", "1")), spent)
	mustSpend(t, s, by("same", 1, assertion("same", "1")), spent)
}

// TestSlotBoundary: signed times either side of a half hour lie in different slots, and each is refused the second time.
// One jti with two signed times in different slots is two uses. That lets no replay through: the time is part of what was
// signed, so a captured JWT can never be moved to the other slot.
func TestSlotBoundary(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	for i := range replay.Slots {
		boundary := noon.Add(time.Duration(i) * replay.Width)
		for _, kind := range []replay.Kind{replay.Assertion, replay.Proof} {
			before := replay.NewUse(kind, "a", "1", boundary.Add(-time.Second))
			after := replay.NewUse(kind, "a", "1", boundary)
			last := replay.NewUse(kind, "a", "1", boundary.Add(replay.Width-time.Second))
			if before.Slot == after.Slot || after.Slot != last.Slot {
				t.Fatalf("slots %d | %d … %d", before.Slot, after.Slot, last.Slot)
			}
			again := replay.Outcome{Replayed: kind}
			if i == 0 {
				mustSpend(t, s, by("a", 1, before), spent)
			}
			mustSpend(t, s, by("a", 1, before), again)
			if i == replay.Slots-1 { // the ring has come round to the first slot
				mustSpend(t, s, by("a", 1, after), again)
				continue
			}
			mustSpend(t, s, by("a", 1, after), spent)
			mustSpend(t, s, by("a", 1, before), again)
			mustSpend(t, s, by("a", 1, after), again)
			mustSpend(t, s, by("a", 1, last), again)
		}
	}
}

// TestDeny: what is denied stays denied, and cannot be spent; a token is also denied when its client is gone.
func TestDeny(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a", "b")
	token := func(jti string) replay.Use {
		return replay.NewUse(replay.AccessToken, "https://issuer.example", jti, noon)
	}
	denied := func(u replay.Use, clientID string, want bool) {
		t.Helper()
		if got, _, err := s.Denied(t.Context(), u, clientID, ""); got != want || err != nil {
			t.Errorf("denied %v, want %v; error %v", got, want, err)
		}
	}
	denied(token("1"), "a", false)
	for range 2 {
		if err := s.Deny(t.Context(), token("1")); err != nil {
			t.Fatal(err)
		}
		denied(token("1"), "a", true)
	}
	denied(token("2"), "a", false)
	later := token("1")
	later.Slot = (later.Slot + 1) % replay.Slots
	denied(later, "a", false)
	mustSpend(t, s, by("a", 1, token("1")), replay.Outcome{Replayed: replay.AccessToken})

	denied(token("2"), "nobody", true)
	denied(token("2"), "", true)
	denied(token("2"), "b", false)
	if _, err := s.DeleteClient(t.Context(), "b", nil, noon); err != nil {
		t.Fatal(err)
	}
	denied(token("2"), "b", true)
	denied(token("2"), "a", false)
}

// TestLockedClient: a client's row that somebody holds locked keeps nobody waiting, not even that client.
func TestLockedClient(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.Open(t, url)
	addClients(t, s, "a", "b")
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE client SET version = version + 1 WHERE id = 'a'`); err != nil {
		t.Fatal(err)
	}
	var waiting []<-chan result
	for i := range 20 {
		for _, id := range []string{"a", "b"} {
			waiting = append(waiting, start(t.Context(), s, by(id, 1, assertion(id, fmt.Sprint(i)))))
		}
	}
	for _, done := range waiting { // the lock is still held: a spend that waits for it ends in a time-out
		expect(t, "while the row is locked", await(t, done), spent)
	}
	mustSpend(t, s, by("a", 1, assertion("a", "0")), replayedAssertion)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSpend(t, s, by("a", 1, assertion("a", "after")), stale)
	mustSpend(t, s, by("a", 2, assertion("a", "after")), spent)
	mustSpend(t, s, by("b", 1, assertion("b", "after")), spent)
}
