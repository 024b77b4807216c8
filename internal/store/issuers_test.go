package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// gateway is a record with something in every member.
func gateway(name string) issuer.Issuer {
	i := issuer.New(name)
	i.JWKS = json.RawMessage(`{"keys":[{"kty":"EC","kid":"k1"}]}`)
	i.Algs, i.Audiences, i.Subjects = []jose.Alg{jose.ES256, jose.PS256}, []string{"stg", "prd"}, []string{"auditor"}
	i.MaxLifetime, i.TokenLifetime, i.RequireJTI = time.Minute, 10*time.Minute, true
	i.Clients, i.Scopes = []string{"c1"}, oauth.Scope{"a:read", "b:read"}
	i.RequireClientAuthentication, i.RequireBinding = false, false
	return i
}

// mustAdd wants the outcomes of adding issuers.
func mustAdd(t *testing.T, s *store.Store, replace bool, at time.Time, want []store.Imported, issuers ...issuer.Issuer) {
	t.Helper()
	got, err := s.AddIssuers(t.Context(), issuers, replace, at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// findIssuer wants an issuer to be trusted.
func findIssuer(t *testing.T, s *store.Store, name string) issuer.Issuer {
	t.Helper()
	i, found, err := s.FindIssuer(t.Context(), name)
	if err != nil || !found {
		t.Fatalf("%s: found %v, %v", name, found, err)
	}
	return i
}

// TestIssuers: a record comes back as it was given; it changes only where that is asked for, and then has another version,
// which no record had before it.
func TestIssuers(t *testing.T) {
	s := storetest.New(t)
	mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway("g"))
	first := findIssuer(t, s, "g")
	want := gateway("g")
	want.Version, want.AddedAt, want.UpdatedAt = first.Version, noon, noon
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	same := gateway("g")
	same.JWKS = json.RawMessage(`{ "keys": [ {"kid":"k1", "kty":"EC"} ] }`)
	mustAdd(t, s, true, noon.Add(time.Hour), []store.Imported{store.Unchanged}, same)
	if again := findIssuer(t, s, "g"); again.Version != first.Version || !again.UpdatedAt.Equal(noon) {
		t.Errorf("unchanged, at version %d of %s", again.Version, again.UpdatedAt)
	}

	remote := gateway("g")
	remote.JWKS, remote.JWKSURI, remote.Audiences = nil, "https://keys.example", nil
	mustAdd(t, s, false, noon, []store.Imported{store.Created, store.Differs}, gateway("h"), remote)
	if _, found, err := s.FindIssuer(t.Context(), "h"); found || err != nil {
		t.Error("written beside one that was not to be replaced", err)
	}
	mustAdd(t, s, true, noon.Add(time.Hour), []store.Imported{store.Created, store.Updated}, gateway("h"), remote)
	second := findIssuer(t, s, "g")
	if second.JWKSURI != remote.JWKSURI || second.JWKS != nil || !second.UpdatedAt.After(noon) || !second.AddedAt.Equal(noon) {
		t.Errorf("replaced: %+v", second)
	}
	if removed, err := s.RemoveIssuer(t.Context(), "g"); !removed || err != nil {
		t.Fatal(removed, err)
	}
	mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway("g"))
	third := findIssuer(t, s, "g")
	versions := map[int64]bool{first.Version: true, second.Version: true, third.Version: true, findIssuer(t, s, "h").Version: true}
	if len(versions) != 4 || third.LastKeySet != nil {
		t.Errorf("versions %v, last key set %v", versions, third.LastKeySet)
	}
}

// TestVoucherIsJoined: what an issuer vouches for is spent only while its record is the one that the request was judged by;
// otherwise nothing is, also where others are spent with the same statement.
func TestVoucherIsJoined(t *testing.T) {
	s := storetest.New(t)
	if _, err := s.AddClient(t.Context(), registered("a")); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, false, noon, []store.Imported{store.Created, store.Created}, gateway("g"), gateway("h"))
	vouched := func(by issuer.Issuer, use string) replay.Spend {
		return replay.Spend{ClientID: "a", ClientVersion: 1, Voucher: by.Voucher(), Uses: []replay.Use{assertion("g", use)}}
	}
	g, h := findIssuer(t, s, "g"), findIssuer(t, s, "h")
	mustSpend(t, s, vouched(g, "1"), spent)
	mustSpend(t, s, vouched(g, "1"), replayedAssertion)
	changed := gateway("g")
	changed.RequireBinding = true
	mustAdd(t, s, true, noon, []store.Imported{store.Updated}, changed)
	mustSpend(t, s, vouched(g, "2"), stale)
	after := findIssuer(t, s, "g")
	mustSpend(t, s, vouched(after, "2"), spent)
	if removed, err := s.RemoveIssuer(t.Context(), "g"); !removed || err != nil {
		t.Fatal(removed, err)
	}
	var started []<-chan result
	for _, sp := range []replay.Spend{vouched(after, "3"), vouched(h, "4"), by("a", 1, assertion("a", "5"))} {
		started = append(started, start(t.Context(), s, sp))
	}
	for n, want := range []replay.Outcome{stale, spent, spent} {
		expect(t, fmt.Sprint("removed, request ", n), await(t, started[n]), want)
	}
	mustSpend(t, s, by("a", 1, assertion("g", "3")), spent)
}

// TestEveryMemberCounts: whatever of a record differs, it is no longer the same.
func TestEveryMemberCounts(t *testing.T) {
	s := storetest.New(t)
	mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway("g"))
	for name, change := range map[string]func(*issuer.Issuer){
		"jwks":       func(i *issuer.Issuer) { i.JWKS = json.RawMessage(`{"keys":[{"kty":"EC","kid":"k2"}]}`) },
		"jwks_uri":   func(i *issuer.Issuer) { i.JWKS, i.JWKSURI = nil, "https://keys.example" },
		"algs":       func(i *issuer.Issuer) { i.Algs = []jose.Alg{jose.ES256} },
		"audiences":  func(i *issuer.Issuer) { i.Audiences = nil },
		"lifetime":   func(i *issuer.Issuer) { i.MaxLifetime = 2 * time.Minute },
		"subjects":   func(i *issuer.Issuer) { i.Subjects = nil },
		"jti":        func(i *issuer.Issuer) { i.RequireJTI = false },
		"clients":    func(i *issuer.Issuer) { i.Clients = []string{"c2"} },
		"scopes":     func(i *issuer.Issuer) { i.Scopes = oauth.Scope{"a:read"} },
		"tokens":     func(i *issuer.Issuer) { i.TokenLifetime = time.Minute },
		"the client": func(i *issuer.Issuer) { i.RequireClientAuthentication = true },
		"binding":    func(i *issuer.Issuer) { i.RequireBinding = true },
	} {
		t.Run(name, func(t *testing.T) {
			i := gateway("g")
			change(&i)
			mustAdd(t, s, false, noon, []store.Imported{store.Differs}, i)
			mustAdd(t, s, true, noon, []store.Imported{store.Updated}, i)
			mustAdd(t, s, false, noon, []store.Imported{store.Unchanged}, i)
			mustAdd(t, s, true, noon, []store.Imported{store.Updated}, gateway("g"))
		})
	}
}

// TestListIssuers: in the order of their names, page by page.
func TestListIssuers(t *testing.T) {
	s := storetest.New(t)
	if any, err := s.TrustsIssuers(t.Context()); any || err != nil {
		t.Error(any, err)
	}
	for _, name := range []string{"b", "a", "c"} {
		mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway(name))
	}
	if any, err := s.TrustsIssuers(t.Context()); !any || err != nil {
		t.Error(any, err)
	}
	var names []string
	for after := ""; ; {
		page, err := s.Issuers(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			names = append(names, i.Name)
		}
		if len(page) < 2 {
			break
		}
		after = page[1].Name
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
		t.Error(diff)
	}
}

// TestNamesOfStrangers: no name that a stranger sends is a fault.
func TestNamesOfStrangers(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "c1", "gone")
	if deleted, err := s.DeleteClient(t.Context(), "gone", nil, noon); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	for _, name := range []string{"", "nobody", "a\x00b", "\xff"} {
		if _, found, err := s.FindIssuer(t.Context(), name); found || err != nil {
			t.Errorf("%q: %v, %v", name, found, err)
		}
		if taken, err := s.NamesClient(t.Context(), name, "\xff"); taken || err != nil {
			t.Errorf("%q is a client: %v, %v", name, taken, err)
		}
	}
	for _, name := range []string{"c1", "gone"} {
		if taken, err := s.NamesClient(t.Context(), "nobody", name); !taken || err != nil {
			t.Errorf("%q is no client: %v, %v", name, taken, err)
		}
	}
}

// TestIssuersNaming: of the ids that no client has or had, those that are the name or a subject of an issuer.
func TestIssuersNaming(t *testing.T) {
	s := storetest.New(t)
	mustAdd(t, s, false, noon, []store.Imported{store.Created, store.Created}, gateway("h"), gateway("g"))
	for _, test := range []struct {
		ids  []string
		want map[string]string
	}{
		{nil, map[string]string{}},
		{[]string{"c1", "stg"}, map[string]string{}},
		{[]string{"c1", "h", "auditor", "g"}, map[string]string{"auditor": "g", "g": "g", "h": "h"}},
	} {
		got, err := s.IssuersNaming(t.Context(), test.ids...)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v, %s", test.ids, err, diff)
		}
	}
	addClients(t, s, "auditor", "h")
	if deleted, err := s.DeleteClient(t.Context(), "h", nil, noon); !deleted || err != nil {
		t.Fatal(deleted, err)
	}
	if got, err := s.IssuersNaming(t.Context(), "auditor", "h"); len(got) > 0 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestIssuerKeySet: the newest fetch stays, whichever comes last, and leaves the record's version; it goes with the issuer,
// and so does one that is still under way: who is added again under the name begins without.
func TestIssuerKeySet(t *testing.T) {
	s := storetest.New(t)
	mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway("g"))
	version := findIssuer(t, s, "g").Version
	newest := keySet("https://keys.example", noon.Add(time.Minute))
	for _, set := range []client.FetchedKeySet{keySet("https://keys.example", noon), newest, keySet("https://old.example", noon)} {
		if err := s.SaveIssuerKeySet(t.Context(), "g", set); err != nil {
			t.Fatal(err)
		}
	}
	i := findIssuer(t, s, "g")
	if diff := cmp.Diff(&newest, i.LastKeySet); diff != "" || i.Version != version {
		t.Errorf("version %d, last key set (-want +got):\n%s", i.Version, diff)
	}
	if removed, err := s.RemoveIssuer(t.Context(), "g"); !removed || err != nil {
		t.Fatal(removed, err)
	}
	if err := s.SaveIssuerKeySet(t.Context(), "g", newest); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, false, noon.Add(2*time.Minute), []store.Imported{store.Created}, gateway("g"))
	if err := s.SaveIssuerKeySet(t.Context(), "g", newest); err != nil {
		t.Fatal(err)
	}
	if kept := findIssuer(t, s, "g").LastKeySet; kept != nil {
		t.Errorf("the keys of the one before: %+v", kept)
	}
}

// TestIssuersAtOnce: of those who add the same issuer at once one does, and of those who remove it one does.
func TestIssuersAtOnce(t *testing.T) {
	_, stores := replicas(t)
	for range 5 {
		added := tally(t, 12, func(n int) (bool, error) {
			outcomes, err := stores[n%3].AddIssuers(t.Context(), []issuer.Issuer{gateway("g"), gateway("h")}, false, noon)
			return err == nil && outcomes[0] == store.Created && outcomes[1] == store.Created, err
		})
		removed := tally(t, 12, func(n int) (bool, error) { return stores[n%3].RemoveIssuer(t.Context(), "g") })
		if added[true] != 1 || removed[true] != 1 {
			t.Fatalf("added by %d, removed by %d", added[true], removed[true])
		}
		if _, err := stores[0].RemoveIssuer(t.Context(), "h"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemovedForAll: what one replica has removed no other trusts a moment longer.
func TestRemovedForAll(t *testing.T) {
	_, stores := replicas(t)
	mustAdd(t, stores[0], false, noon, []store.Imported{store.Created}, gateway("g"))
	for _, s := range stores {
		findIssuer(t, s, "g")
	}
	if removed, err := stores[1].RemoveIssuer(t.Context(), "g"); !removed || err != nil {
		t.Fatal(removed, err)
	}
	for _, s := range stores {
		if _, found, err := s.FindIssuer(t.Context(), "g"); found || err != nil {
			t.Errorf("found %v, %v", found, err)
		}
	}
}

// TestReplicasTakeAnAssertionOnce (CC-07): at whichever replicas it arrives, one request has the assertion, whether the
// client proves itself beside it or not, and whatever else the request bears.
func TestReplicasTakeAnAssertionOnce(t *testing.T) {
	_, stores := replicas(t)
	addClients(t, stores[0], "a")
	replayed := replay.Outcome{Replayed: replay.AssertionGrant}
	for round := range 10 {
		grant := replay.NewUse(replay.AssertionGrant, "g", fmt.Sprint("jti ", round), noon.Add(time.Minute))
		var same []replay.Spend
		for n := range 30 {
			jti := fmt.Sprint(round, "-", n)
			same = append(same,
				by("a", 1, grant),
				by("a", 1, assertion("a", jti), grant, proof("key", jti)))
		}
		if got := together(t, stores, same); got[spent] != 1 || got[replayed] != 59 {
			t.Fatalf("60 times the same: %v", got)
		}
	}
	other := replay.NewUse(replay.AssertionGrant, "another", "jti 1", noon.Add(time.Minute))
	mustSpend(t, stores[0], by("a", 1, other), spent)
	mustSpend(t, stores[1], by("a", 1, other), replayed)
	mustSpend(t, stores[2], by("a", 1, assertion("g", "jti 1")), spent) // a client assertion is another thing
}
