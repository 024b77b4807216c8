package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	gocmp "github.com/google/go-cmp/cmp"
)

// assertionKeys are about which key may verify, what an unknown one costs, and what an answer tells of our records.
func assertionKeys() []attack {
	return []attack{
		{"CA-33", unknownKid},
		{"CA-34", randomKids},
		{"CA-35", func(_ *testing.T, d *deployment) { d.proves(d.register(0), flow.DropHeader("kid")) }},
		{"CA-36", keysWithoutKid},
		{"CA-61", enumeration},
	}
}

// unknownKid wants one fetch more at each replica for a kid that nobody has, and none for the next within 30 seconds.
func unknownKid(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	host := newKeyHost(t, publishing(k.PublicJWK()))
	c := d.registered(k, keysAt(host.URL+"/jwks"))
	fetched := func(want int64, after string) {
		t.Helper()
		if got := host.requests.Load(); got != want {
			t.Errorf("%d fetches after %s, want %d", got, after, want)
		}
	}
	d.expect(c, c.TokenRequest(nil), "200")
	fetched(1, "the first request")
	eventually(t, "the key set is stored for the other replicas", func() bool {
		stored, found, err := d.store.FindClient(t.Context(), c.ID)
		return err == nil && found && stored.LastKeySet != nil
	})
	for i := range d.replicas {
		moved := d.at(c, i)
		for n := range 3 {
			kid := fmt.Sprint("nobody's ", n)
			refusedFor(t, do(t, moved.Server, asserting(moved, flow.SetHeader("kid", kid))), "401 invalid_client", oauth.ClientNotProven)
			fetched(int64(i)+2, kid)
		}
		d.expect(moved, moved.TokenRequest(nil), "200")
	}
	fetched(int64(len(d.replicas))+1, "everything")

	inline := d.register(0)
	d.doesNotProve(inline, oauth.ClientNotProven, inline.Assertion(flow.SetHeader("kid", "nobody's")))
}

// randomKids sends a hundred kids that nobody has, at once and one by one. The key that is known is never locked out.
func randomKids(t *testing.T, _ *deployment) {
	d := deploy(t, 1, nil) // of its own: the clock moves
	k := key(t, "ES256")
	host := newKeyHost(t, publishing(k.PublicJWK()))
	c := d.registered(k, keysAt(host.URL+"/jwks"))
	d.expect(c, c.TokenRequest(nil), "200")
	stray := func(i int) (*flow.Server, *flow.Request) {
		return c.Server, asserting(c, flow.SetHeader("kid", fmt.Sprint("stray ", i)))
	}
	got := atOnce(t, 50, stray)
	for i := range 50 {
		s, r := stray(50 + i)
		got[do(t, s, r).Outcome()]++
	}
	if diff := gocmp.Diff(map[string]int{"401 invalid_client": 100}, got); diff != "" {
		t.Error(diff)
	}
	d.expect(c, c.TokenRequest(nil), "200")
	if n := host.requests.Load(); n > 2 {
		t.Errorf("%d fetches within 30 seconds, want the first and one more", n)
	}
	d.clock.advance(31 * time.Second)
	s, r := stray(100)
	refusedFor(t, do(t, s, r), "401 invalid_client", oauth.ClientNotProven)
	d.expect(c, c.TokenRequest(nil), "200")
	if n := host.requests.Load(); n != 3 {
		t.Errorf("%d fetches, want one more half a minute later", n)
	}
}

// keysWithoutKid: of the suitable keys ten are tried, and those that are not suitable do not count among them.
func keysWithoutKid(t *testing.T, d *deployment) {
	noKid := flow.DropHeader("kid")
	first, second := key(t, "ES256"), key(t, "ES256")
	d.proves(d.registered(second, withKeys(first.PublicJWK(), second.PublicJWK())), noKid)

	var keys []*flow.Key
	var set []any
	for range 8 {
		set = append(set, key(t, "EdDSA").PublicJWK())
	}
	forEncryption := key(t, "ES256")
	unusable := forEncryption.PublicJWK()
	unusable.Use, unusable.Alg = "enc", "ECDH-ES"
	set = append(set, unusable)
	for range 11 {
		k := key(t, "ES256")
		keys, set = append(keys, k), append(set, k.PublicJWK())
	}
	c := d.registered(keys[9], withKeys(set...))
	d.proves(c, noKid)
	d.doesNotProve(c, oauth.ClientNotProven, c.Assertion(noKid, flow.SignWith(keys[10])), c.Assertion(noKid, flow.SignWith(forEncryption)),
		c.Assertion(flow.SignWith(forEncryption), flow.SetHeader("kid", forEncryption.ID)))
	d.proves(c, flow.SignWith(keys[10]), flow.SetHeader("kid", keys[10].ID))
}

// enumeration compares, byte by byte, what those get who do not hold the key: of a client that there is not, that there
// no longer is, and of one that there is. The medians are for the reader; a machine under load proves nothing by them.
func enumeration(t *testing.T, d *deployment) {
	known, deleted := d.register(0), d.register(0)
	d.expect(deleted, deleted.ManageRequest(http.MethodDelete, nil), "204")
	thief, nobody, gone := *known, *known, *known
	thief.Key = &flow.Key{ID: known.Key.ID, Alg: "ES256", Signer: key(t, "ES256").Signer}
	nobody.ID, gone.ID = "A"+deleted.ID[1:], deleted.ID
	if nobody.ID == deleted.ID {
		nobody.ID = "B" + deleted.ID[1:]
	}
	nobody.Key, gone.Key = thief.Key, thief.Key
	took := map[*flow.Client][]time.Duration{}
	for range 30 {
		for endpoint := range endpoints(known) {
			var first string
			for _, c := range []*flow.Client{&thief, &nobody, &gone} {
				e := do(t, known.Server, endpoints(c)[endpoint])
				refusedFor(t, e, "401 invalid_client", oauth.ClientNotProven)
				if first = cmp.Or(first, told(e)); told(e) != first {
					t.Fatalf("%s: two answers to one question:\n%s\n%s", endpoint, first, told(e))
				}
				took[c] = append(took[c], e.Duration)
			}
		}
	}
	for c, durations := range took {
		slices.Sort(durations)
		t.Logf("client %.5s: median %s", c.ID, durations[len(durations)/2])
	}
	d.doesNotProve(known, oauth.ClientNotProven, thief.Assertion(), known.Assertion(flow.SetHeader("kid", "nobody's")))
}

// told is all that an answer tells, without what differs from one moment to the next.
func told(e *flow.Exchange) string {
	header := e.ResponseHeader.Clone()
	for _, name := range []string{"Date", "X-Fapi-Interaction-Id", "DPoP-Nonce"} {
		header.Del(name)
	}
	return fmt.Sprint(e.Status, header, e.ResponseBody)
}
