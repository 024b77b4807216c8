package fdx_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

// access is one thing that details give.
type access struct{ kind, id, cluster string }

func accesses(d fdx.Details) map[access]bool {
	all := map[access]bool{}
	for _, r := range d.ConsentRequests() {
		for _, of := range r.Resources {
			for _, c := range of.DataClusters {
				all[access{of.ResourceType, of.ResourceID, c}] = true
			}
		}
	}
	return all
}

// names are some data clusters; the first two are about the person.
var names = []string{"CUSTOMER_CONTACT", "SOCIAL_SECURITY_NUMBER", "TAX", "TRANSFERS", "NOTIFICATIONS", "BILLS"}

// drawTerms draws a consent without resources.
func drawTerms(t *rapid.T) fdx.ConsentRequest {
	r := fdx.ConsentRequest{DurationType: rapid.SampledFrom([]string{"ONE_TIME", "PERSISTENT", "TIME_BOUND"}).Draw(t, "durationType")}
	if r.DurationType == "TIME_BOUND" {
		r.DurationPeriod = rapid.IntRange(1, 365).Draw(t, "durationPeriod")
	}
	r.LookbackPeriod = rapid.IntRange(0, 36500).Draw(t, "lookbackPeriod")
	return r
}

// drawDetails draws details of these terms, with resources of these ids.
func drawDetails(t *rapid.T, terms fdx.ConsentRequest, ids ...string) fdx.Details {
	var d fdx.Details
	for range rapid.IntRange(1, 3).Draw(t, "details") {
		r := terms
		for range rapid.IntRange(1, 3).Draw(t, "resources") {
			of := fdx.Resource{
				ResourceType: rapid.SampledFrom([]string{"ACCOUNT", "CUSTOMER", "DOCUMENT"}).Draw(t, "resourceType"),
				ResourceID:   rapid.SampledFrom(ids).Draw(t, "resourceId"),
				DataClusters: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "dataClusters"),
			}
			if of.ResourceType == "CUSTOMER" {
				of.DataClusters = rapid.SliceOfNDistinct(rapid.SampledFrom(names[:3]), 1, 3, rapid.ID).Draw(t, "clusters of the customer")
			}
			r.Resources = append(r.Resources, of)
		}
		d = append(d, r)
	}
	return d
}

// drawScope draws some scopes, or all but some.
func drawScope(t *rapid.T) oauth.Scope {
	all := append(fdx.Scopes(), "openid", "profile")
	some := rapid.SliceOfNDistinct(rapid.SampledFrom(all), -1, 6, rapid.ID).Draw(t, "some scopes")
	if rapid.Bool().Draw(t, "the others") {
		return slices.DeleteFunc(all, func(s string) bool { return slices.Contains(some, s) })
	}
	return some
}

// What is written is read again as it was.
func TestReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDetails(t, drawTerms(t), "", "a", "<é>&\u2028", strings.Repeat("x", 256))
		if diff := cmp.Diff(d, parse(t, marshal(t, d))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// opens tells whether a scope opens a data cluster.
func opens(s oauth.Scope, cluster string) bool {
	scopes, _ := fdx.ScopesOf(cluster)
	return slices.ContainsFunc(scopes, s.Has)
}

// agree demands that each data cluster has a scope, and each scope of FDX its cluster.
func agree(t *rapid.T, d fdx.Details, s oauth.Scope) {
	t.Helper()
	opened := map[string]bool{}
	for a := range accesses(d) {
		if opened[a.cluster] = true; !opens(s, a.cluster) {
			t.Fatalf("%v has no scope among %s", a, s)
		}
	}
	for _, token := range s {
		if slices.Contains(fdx.Scopes(), token) && !slices.ContainsFunc(slices.Collect(maps.Keys(opened)), func(c string) bool { return opens(oauth.Scope{token}, c) }) {
			t.Fatalf("%s opens nothing of %v", token, d)
		}
	}
}

// FDX-04: what is settled is what was asked for, with the scope narrowed to it; settling it again changes nothing; and what
// is refused goes beyond the scope or the registration.
func TestSettleAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d fdx.Details
		if rapid.IntRange(0, 3).Draw(t, "with details") > 0 {
			d = drawDetails(t, drawTerms(t), "")
		}
		s := drawScope(t)
		ceilings := fdx.Ceilings{
			DurationType:   rapid.SampledFrom([][]string{nil, {"ONE_TIME", "PERSISTENT", "TIME_BOUND"}, {"TIME_BOUND"}}).Draw(t, "duration_type"),
			DurationPeriod: rapid.SampledFrom([]int{0, 30, 365}).Draw(t, "duration_period"),
			LookbackPeriod: rapid.SampledFrom([]int{0, 60, 36500}).Draw(t, "lookback_period"),
		}
		settled, granted, err := d.Settle(s, ceilings)
		if want := beyond(d, s, ceilings); want != (err != nil) {
			t.Fatalf("goes beyond: %v; settled: %v", want, err)
		}
		if err != nil {
			return
		}
		agree(t, settled, granted)
		if diff := cmp.Diff(accesses(d), accesses(settled)); diff != "" && d != nil {
			t.Fatal(diff)
		}
		for _, r := range settled.ConsentRequests() {
			if n := ceilings.LookbackPeriod; n > 0 && (r.LookbackPeriod == 0 || r.LookbackPeriod > n) {
				t.Fatalf("looks back %d days, registered for %d", r.LookbackPeriod, n)
			}
		}
		if d == nil && !cmp.Equal(granted, s) || granted.Beyond(s) != "" || granted.Has("openid") != s.Has("openid") {
			t.Fatalf("the scope %s became %s", s, granted)
		}
		again, scopeAgain, err := settled.Settle(granted, ceilings)
		if err != nil || !cmp.Equal(settled, again) || !cmp.Equal(granted, scopeAgain) {
			t.Fatalf("settled again: %v, %v\n%s", scopeAgain, err, cmp.Diff(settled, again))
		}
	})
}

// beyond tells whether details go beyond a scope or a registration, or a scope alone asks for what is not registered.
func beyond(d fdx.Details, s oauth.Scope, c fdx.Ceilings) bool {
	if d == nil {
		ofFDX := func(token string) bool { return slices.Contains(fdx.Scopes(), token) }
		return slices.ContainsFunc(s, ofFDX) && len(c.DurationType) > 0 && !slices.Contains(c.DurationType, "ONE_TIME")
	}
	for a := range accesses(d) {
		if !opens(s, a.cluster) {
			return true
		}
	}
	r := d.ConsentRequests()[0]
	return len(c.DurationType) > 0 && !slices.Contains(c.DurationType, r.DurationType) ||
		c.DurationPeriod > 0 && r.DurationPeriod > c.DurationPeriod || c.LookbackPeriod > 0 && r.LookbackPeriod > c.LookbackPeriod
}

// Two intersections, one after the other, are that with what both scopes have; one alone loses nothing but what the scope
// does not open.
func TestIntersections(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDetails(t, drawTerms(t), "", "a", "b")
		one, other := drawScope(t), drawScope(t)
		details, both := d.Intersect(one)
		agree(t, details, both)
		want := accesses(d)
		maps.DeleteFunc(want, func(a access, _ bool) bool { return !opens(one, a.cluster) })
		if diff := cmp.Diff(want, accesses(details)); diff != "" || both.Beyond(one) != "" {
			t.Fatalf("%s and the scope %s of %s", diff, both, one)
		}
		of := func(s oauth.Scope) oauth.Scope {
			return slices.DeleteFunc(slices.Clone(s), func(token string) bool { return !other.Has(token) })
		}
		twice, scopeTwice := details.Intersect(of(both))
		once, scopeOnce := d.Intersect(of(one))
		if !cmp.Equal(twice, once) || !cmp.Equal(scopeTwice, scopeOnce) {
			t.Fatalf("%s\n%s", cmp.Diff(twice, once), cmp.Diff(scopeTwice, scopeOnce))
		}
	})
}

// RAR-05, RT-11: a narrowed grant gives what was granted and asked for, of the granted terms; what is refused asks for
// something that was not granted.
func TestNarrowNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := drawTerms(t)
		asked := drawDetails(t, terms, "")
		accounts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID).Draw(t, "accounts")
		granted := asked.Granted("_1", accounts)
		for _, whole := range []fdx.Details{asked, granted} {
			narrow, err := granted.Narrow(whole)
			if diff := cmp.Diff(accesses(granted), accesses(narrow)); err != nil || diff != "" {
				t.Fatalf("all that was asked for: %v, %s", err, diff)
			}
		}
		wanted := drawSome(t, granted)
		if rapid.Bool().Draw(t, "and more") {
			wanted = append(wanted, drawDetails(t, terms, "", "a", "b", "c", "_1")...)
		}
		narrow, err := granted.Narrow(wanted)
		if want := wider(wanted, granted); want != (err != nil) {
			t.Fatalf("wider: %v; narrowed: %v", want, err)
		}
		if err != nil {
			return
		}
		for a := range accesses(narrow) {
			if w := accesses(wanted); !accesses(granted)[a] || !w[a] && !w[access{a.kind, "", a.cluster}] {
				t.Fatalf("%v was not granted, or not asked for", a)
			}
		}
		for a := range accesses(wanted) {
			if a.id != "" && !accesses(narrow)[a] {
				t.Fatalf("%v is lost", a)
			}
		}
		if again, err := granted.Narrow(narrow); err != nil || !cmp.Equal(narrow, again) {
			t.Fatalf("narrowed again: %v, %s", err, cmp.Diff(narrow, again))
		}
	})
}

// drawSome draws some of what was granted, by its id or without, now and then of other terms.
func drawSome(t *rapid.T, granted fdx.Details) fdx.Details {
	r := granted.ConsentRequests()[0]
	if rapid.IntRange(0, 9).Draw(t, "other terms") == 9 {
		r = drawTerms(t)
	}
	r.Resources = nil
	byCluster := func(a, b access) int { return strings.Compare(a.kind+a.id+a.cluster, b.kind+b.id+b.cluster) }
	all := slices.SortedFunc(maps.Keys(accesses(granted)), byCluster)
	for _, a := range rapid.SliceOfN(rapid.SampledFrom(all), 1, 5).Draw(t, "granted") {
		if rapid.Bool().Draw(t, "any") {
			a.id = ""
		}
		r.Resources = append(r.Resources, fdx.Resource{ResourceType: a.kind, ResourceID: a.id, DataClusters: []string{a.cluster}})
	}
	return fdx.Details{r}
}

// wider tells whether details ask for something that was not granted.
func wider(wanted, granted fdx.Details) bool {
	for a := range accesses(wanted) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(accesses(granted))), func(g access) bool {
			return g.kind == a.kind && g.cluster == a.cluster && (a.id == "" || a.id == g.id)
		}) {
			return true
		}
	}
	w, g := wanted.ConsentRequests()[0], granted.ConsentRequests()[0]
	return w.DurationType != g.DurationType || w.DurationPeriod != g.DurationPeriod || g.LookbackPeriod > 0 && w.LookbackPeriod > g.LookbackPeriod
}

// FDX-05: the person's choice, no more and no less, and one entry for each account and type in every element.
func TestGrantedIsTheChoice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := drawDetails(t, drawTerms(t), "")
		accounts := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID).Draw(t, "accounts")
		want := map[access]bool{}
		for a := range accesses(asked) {
			ids := accounts
			if a.kind == "CUSTOMER" {
				ids = []string{"_1"}
			}
			for _, id := range ids {
				want[access{a.kind, id, a.cluster}] = true
			}
		}
		granted := asked.Granted("_1", accounts)
		if diff := cmp.Diff(want, accesses(granted)); diff != "" {
			t.Fatal(diff)
		}
		for _, r := range granted.ConsentRequests() {
			entries := map[access]bool{}
			for _, of := range r.Resources {
				entries[access{kind: of.ResourceType, id: of.ResourceID}] = true
			}
			if len(entries) != len(r.Resources) || len(entries) == 0 {
				t.Fatalf("%d entries for %d resources", len(r.Resources), len(entries))
			}
		}
	})
}
