package fdx_test

import (
	"strings"
	"testing"

	"authserver/internal/fdx"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

func TestGranted(t *testing.T) {
	mixed := resources(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]},{"resourceType":"CUSTOMER","dataClusters":["CUSTOMER_CONTACT"]},
		{"resourceType":"DOCUMENT","dataClusters":["STATEMENTS"]},{"resourceType":"ACCOUNT","dataClusters":["BILLS","TAX"]}]`)
	two := strings.TrimSuffix(clusters("TAX"), "]") + "," + clusters("BILLS", "TAX")[1:]
	for name, test := range map[string]struct {
		asked    string
		accounts []string
		want     string
	}{
		"FDX-05 an entry for each account": {clusters("TAX", "BILLS"), []string{"a", "b"},
			resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX","BILLS"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX","BILLS"]}]`)},
		"one for each type": {mixed, []string{"a"},
			resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX","BILLS"]},{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]},` +
				`{"resourceType":"DOCUMENT","resourceId":"a","dataClusters":["STATEMENTS"]}]`)},
		"no accounts, and some about the customer": {mixed, nil, resources(`[{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]}]`)},
		"no accounts at all":                       {seed, nil, "null"},
		"PR-40 two stay two": {two, []string{"a"},
			strings.TrimSuffix(resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]}]`), "]") + "," +
				resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["BILLS","TAX"]}]`)[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, test.asked)
			before := marshal(t, d)
			if got := marshal(t, d.Granted("_1", test.accounts)); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
			if marshal(t, d) != before {
				t.Error("what was asked for has changed")
			}
		})
	}
	for text, want := range map[string]bool{seed: true, mixed: true, resources(`[{"resourceType":"DOCUMENT","dataClusters":["TAX"]}]`): true,
		resources(`[{"resourceType":"CUSTOMER","dataClusters":["TAX"]}]`): false} {
		if got := parse(t, text).AboutAccounts(); got != want {
			t.Errorf("%s is about accounts: %v", text, got)
		}
	}
	if fdx.Details(nil).AboutAccounts() {
		t.Error("nothing is about accounts")
	}
}

// granted is a TIME_BOUND consent to two accounts, not quite the same of each.
func granted(t *testing.T) fdx.Details {
	return parse(t, consent(`"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,"resources":[
		{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX","BILLS"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]},
		{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]}]`))
}

// FDX-05: the resources of a consent, whichever of its details they stand in.
func TestResources(t *testing.T) {
	both := strings.TrimSuffix(resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`), "]") +
		"," + resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["BILLS","TAX"]},{"resourceType":"DOCUMENT","resourceId":"a","dataClusters":["TAX"]}]`)[1:]
	d := parse(t, both)
	before := marshal(t, d)
	want := []fdx.Resource{{ResourceType: fdx.Account, ResourceID: "a", DataClusters: []string{"TAX", "BILLS"}},
		{ResourceType: fdx.Account, ResourceID: "b", DataClusters: []string{"TAX"}}, {ResourceType: fdx.Document, ResourceID: "a", DataClusters: []string{"TAX"}}}
	if diff := cmp.Diff(want, d.Resources()); diff != "" || marshal(t, d) != before {
		t.Error(diff)
	}
	if fdx.Details(nil).Resources() != nil {
		t.Error("nothing has resources")
	}
}

func TestNarrow(t *testing.T) {
	terms := func(lookback, list string) string {
		return consent(`"durationType":"TIME_BOUND","durationPeriod":90` + lookback + `,"resources":` + list)
	}
	const sixty = `,"lookbackPeriod":60`
	all := marshal(t, granted(t))
	for name, test := range map[string]struct{ requested, want string }{
		"all that came back":     {all, all},
		"a cluster, by its type": {terms(sixty, `[{"resourceType":"ACCOUNT","dataClusters":["BILLS"]}]`), terms(sixty, `[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["BILLS"]}]`)},
		"as it was asked for": {terms("", `[{"resourceType":"CUSTOMER","dataClusters":["CUSTOMER_CONTACT"]},{"resourceType":"ACCOUNT","dataClusters":["TAX"]}]`),
			terms(sixty, `[{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]},{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]},`+
				`{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`)},
		"one account, and less far back": {terms(`,"lookbackPeriod":7`, `[{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`),
			terms(`,"lookbackPeriod":7`, `[{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`)},
		"each only what was granted of it": {terms(sixty, `[{"resourceType":"ACCOUNT","dataClusters":["TAX","BILLS"]}]`),
			terms(sixty, `[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX","BILLS"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`)},
		"the same twice": {terms(sixty, `[{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`),
			terms(sixty, `[{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["TAX"]}]`)},
	} {
		t.Run(name, func(t *testing.T) {
			g := granted(t)
			narrow, err := g.Narrow(parse(t, test.requested))
			if err != nil {
				t.Fatal(err)
			}
			if got := marshal(t, narrow); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
			if marshal(t, g) != all {
				t.Error("the grant has changed")
			}
		})
	}
	unlimited := parse(t, terms("", `[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]}]`))
	if _, err := unlimited.Narrow(parse(t, terms(`,"lookbackPeriod":36500`, `[{"resourceType":"ACCOUNT","dataClusters":["TAX"]}]`))); err != nil {
		t.Errorf("any look-back is less than all: %v", err)
	}
}

// RT-11: more than was granted.
func TestNarrowRefuses(t *testing.T) {
	const request = "authorization_details[0].consentRequest"
	terms := func(list string) string {
		return consent(`"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60,"resources":` + list)
	}
	for name, test := range map[string]struct{ requested, path string }{
		"RT-11 another cluster":             {terms(`[{"resourceType":"ACCOUNT","dataClusters":["TAX","TRANSACTIONS"]}]`), request + ".resources[0].dataClusters[1]"},
		"RT-11 another account":             {terms(`[{"resourceType":"ACCOUNT","resourceId":"c","dataClusters":["TAX"]}]`), request + ".resources[0].dataClusters[0]"},
		"RT-11 another account's cluster":   {terms(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","resourceId":"b","dataClusters":["BILLS"]}]`), request + ".resources[1].dataClusters[0]"},
		"RT-11 the customer for an account": {terms(`[{"resourceType":"CUSTOMER","dataClusters":["TAX"]}]`), request + ".resources[0].dataClusters[0]"},
		"RT-11 an account as a customer":    {terms(`[{"resourceType":"ACCOUNT","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]}]`), request + ".resources[0].dataClusters[0]"},
		"RT-11 another type of resource":    {terms(`[{"resourceType":"DOCUMENT","dataClusters":["TAX"]}]`), request + ".resources[0].dataClusters[0]"},
		"RT-11 further back":                {strings.Replace(terms(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]}]`), "60", "61", 1), request + ".lookbackPeriod"},
		"RT-11 longer":                      {strings.Replace(terms(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]}]`), "90", "91", 1), request + ".durationPeriod"},
		"RT-11 another duration":            {of(`"durationType":"PERSISTENT","lookbackPeriod":60`), request + ".durationType"},
		"RT-11 more in the second": {strings.TrimSuffix(marshal(t, granted(t)), "]") + "," + terms(`[{"resourceType":"ACCOUNT","dataClusters":["IMAGES"]}]`)[1:],
			"authorization_details[1].consentRequest.resources[0].dataClusters[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			narrow, err := granted(t).Narrow(parse(t, test.requested))
			if refused(t, err, oauth.DetailsBeyondGrant, test.path); narrow != nil {
				t.Errorf("and yet there is %v", narrow)
			}
		})
	}
	_, err := fdx.Details(nil).Narrow(parse(t, seed))
	refused(t, err, oauth.DetailsBeyondGrant, request)
	// What was granted without a choice of accounts is not a choice of this one.
	_, err = parse(t, clusters("TAX")).Narrow(parse(t, resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]}]`)))
	refused(t, err, oauth.DetailsBeyondGrant, request+".resources[0].dataClusters[0]")
}
