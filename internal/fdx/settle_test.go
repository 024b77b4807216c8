package fdx_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

func scope(s string) oauth.Scope { return strings.Fields(s) }

// allScopes are those of the seed, which asks for every scope and for three clusters.
const allScopes = "fdx:transactions:read fdx:accountbasic:read openid fdx:customerpersonal:read fdx:accountdetailed:read fdx:investments:read " +
	"fdx:paymentsupport:read fdx:accountpayments:read fdx:bills:read fdx:images:read fdx:rewards:read fdx:tax:read fdx:statements:read " +
	"fdx:customercontact:read client.create client.read"

func TestSettle(t *testing.T) {
	timeBound := of(`"durationType":"TIME_BOUND","durationPeriod":90`)
	two := strings.TrimSuffix(clusters("TAX"), "]") + "," + strings.TrimPrefix(clusters("BILLS", "TAX"), "[")
	for name, test := range map[string]struct {
		details  string // "": none
		scope    string
		ceilings fdx.Ceilings
		want     string
		granted  string
	}{
		"FDX-04 the seed": {seed, allScopes, fdx.Ceilings{}, seed,
			"fdx:transactions:read openid fdx:accountdetailed:read fdx:statements:read client.create client.read"},
		"at the ceilings": {
			of(`"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60`), "fdx:transactions:read",
			fdx.Ceilings{DurationType: []string{"PERSISTENT", "TIME_BOUND"}, DurationPeriod: 90, LookbackPeriod: 60},
			of(`"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":60`), "fdx:transactions:read"},
		"no look-back, and one registered": {timeBound, "fdx:transactions:read", fdx.Ceilings{LookbackPeriod: 30},
			of(`"durationType":"TIME_BOUND","durationPeriod":90,"lookbackPeriod":30`), "fdx:transactions:read"},
		"no look-back at all":                   {timeBound, "fdx:transactions:read", fdx.Ceilings{}, timeBound, "fdx:transactions:read"},
		"PR-40 two stay two":                    {two, "fdx:bills:read fdx:tax:read", fdx.Ceilings{}, two, "fdx:bills:read fdx:tax:read"},
		"one of a cluster's scopes":             {clusters("TRANSFERS"), "fdx:transfers:read", fdx.Ceilings{}, clusters("TRANSFERS"), "fdx:transfers:read"},
		"both of them":                          {clusters("TRANSFERS"), "fdx:transfers:write fdx:transfers:read", fdx.Ceilings{}, clusters("TRANSFERS"), "fdx:transfers:write fdx:transfers:read"},
		"nothing of FDX":                        {"", "openid profile", fdx.Ceilings{DurationType: []string{"TIME_BOUND"}}, "", "openid profile"},
		"no scope":                              {"", "", fdx.Ceilings{}, "", ""},
		"a scope that FDX does not know":        {"", "fdx:root:read", fdx.Ceilings{}, "", "fdx:root:read"},
		"scopes alone, about accounts":          {"", "openid fdx:transactions:read", fdx.Ceilings{}, of(`"durationType":"ONE_TIME"`), "openid fdx:transactions:read"},
		"scopes alone, and a look-back":         {"", "fdx:transactions:read", fdx.Ceilings{LookbackPeriod: 9}, of(`"durationType":"ONE_TIME","lookbackPeriod":9`), "fdx:transactions:read"},
		"scopes alone, two of one cluster":      {"", "fdx:transfers:write fdx:transfers:read", fdx.Ceilings{}, clusters("TRANSFERS"), "fdx:transfers:write fdx:transfers:read"},
		"scopes alone, registered for ONE_TIME": {"", "fdx:transactions:read", fdx.Ceilings{DurationType: []string{"ONE_TIME"}, DurationPeriod: 1}, of(`"durationType":"ONE_TIME"`), "fdx:transactions:read"},
		"scopes alone, about both": {"", "fdx:socialsecurity:read fdx:tax:read fdx:customercontact:read fdx:accountbasic:read", fdx.Ceilings{},
			resources(`[{"resourceType":"ACCOUNT","dataClusters":["ACCOUNT_BASIC","TAX"]},{"resourceType":"CUSTOMER","dataClusters":["CUSTOMER_CONTACT","SOCIAL_SECURITY_NUMBER"]}]`),
			"fdx:socialsecurity:read fdx:tax:read fdx:customercontact:read fdx:accountbasic:read"},
	} {
		t.Run(name, func(t *testing.T) {
			var d fdx.Details
			if test.details != "" {
				d = parse(t, test.details)
			}
			settled, granted, err := d.Settle(scope(test.scope), test.ceilings)
			if err != nil {
				t.Fatal(err)
			}
			if text := marshal(t, settled); settled == nil && test.want != "" || settled != nil && text != test.want {
				t.Errorf("got %s, want %s", text, test.want)
			}
			if granted.String() != test.granted {
				t.Errorf("got the scope %s, want %s", granted, test.granted)
			}
		})
	}
}

func TestSettleRefuses(t *testing.T) {
	const request = "authorization_details[0].consentRequest"
	timeBound := func(members string) string { return of(`"durationType":"TIME_BOUND",` + members) }
	and := func(a, b string) string { return strings.TrimSuffix(a, "]") + "," + b[1:] }
	for name, test := range map[string]struct {
		details  string
		scope    string
		ceilings fdx.Ceilings
		reason   oauth.Reason
		path     string
	}{
		"FDX-04 a cluster without its scope": {seed, strings.Replace(allScopes, "fdx:statements:read", "", 1), fdx.Ceilings{},
			oauth.ClusterWithoutScope, request + ".resources[0].dataClusters[2]"},
		"FDX-04 one without any scope": {seed, "", fdx.Ceilings{}, oauth.ClusterWithoutScope, request + ".resources[0].dataClusters[0]"},
		"FDX-04 one of the second": {and(clusters("TAX"), clusters("TAX", "BILLS")), "fdx:tax:read", fdx.Ceilings{},
			oauth.ClusterWithoutScope, "authorization_details[1].consentRequest.resources[0].dataClusters[1]"},
		"FDX-04 a cluster as a scope": {clusters("TAX"), "TAX", fdx.Ceilings{}, oauth.ClusterWithoutScope, request + ".resources[0].dataClusters[0]"},
		"a duration that is not registered": {of(`"durationType":"PERSISTENT"`), allScopes, fdx.Ceilings{DurationType: []string{"ONE_TIME", "TIME_BOUND"}},
			oauth.DetailsNotRegistered, request + ".durationType"},
		"a day too long": {timeBound(`"durationPeriod":91`), allScopes, fdx.Ceilings{DurationPeriod: 90},
			oauth.DetailsNotRegistered, request + ".durationPeriod"},
		"a day too far back": {of(`"durationType":"ONE_TIME","lookbackPeriod":61`), allScopes, fdx.Ceilings{LookbackPeriod: 60},
			oauth.DetailsNotRegistered, request + ".lookbackPeriod"},
		"scopes alone, and ONE_TIME is not registered": {"", allScopes, fdx.Ceilings{DurationType: []string{"TIME_BOUND"}},
			oauth.DetailsNotRegistered, "authorization_details"},
		"two durations": {and(of(`"durationType":"ONE_TIME"`), of(`"durationType":"PERSISTENT"`)), allScopes, fdx.Ceilings{},
			oauth.DetailsContradict, "authorization_details[1].consentRequest.durationType"},
		"two periods": {and(timeBound(`"durationPeriod":1`), timeBound(`"durationPeriod":2`)), allScopes, fdx.Ceilings{},
			oauth.DetailsContradict, "authorization_details[1].consentRequest.durationPeriod"},
		"two look-backs": {and(of(`"durationType":"ONE_TIME","lookbackPeriod":1`), of(`"durationType":"ONE_TIME"`)), allScopes, fdx.Ceilings{},
			oauth.DetailsContradict, "authorization_details[1].consentRequest.lookbackPeriod"},
		"a resourceId": {resources(`[{"resourceType":"ACCOUNT","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX"]}]`), allScopes, fdx.Ceilings{},
			oauth.DetailsMember, request + ".resources[1].resourceId"},
	} {
		t.Run(name, func(t *testing.T) {
			var d fdx.Details
			if test.details != "" {
				d = parse(t, test.details)
			}
			settled, granted, err := d.Settle(scope(test.scope), test.ceilings)
			if refused(t, err, test.reason, test.path); settled != nil || granted != nil {
				t.Errorf("and yet there are %v and %s", settled, granted)
			}
		})
	}
	_, _, err := parse(t, clusters("TRANSFERS")).Settle(nil, fdx.Ceilings{})
	e, _ := errors.AsType[*oauth.Error](err)
	want := request + ".resources[0].dataClusters[0] asks for TRANSFERS, and scope does not have fdx:transfers:read or fdx:transfers:write"
	if e.Description != want || e.Code() != oauth.InvalidScope {
		t.Errorf("got %s: %s, want %s", e.Code(), e.Description, want)
	}
}

// A registered client may lose scopes after the grant, and a token request may leave some out.
func TestIntersect(t *testing.T) {
	granted := parse(t, resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["TAX","BILLS"]},
		{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]}]`))
	for name, test := range map[string]struct{ scope, details, both string }{
		"all": {"openid fdx:tax:read fdx:bills:read fdx:customercontact:read", marshal(t, granted), "openid fdx:tax:read fdx:bills:read fdx:customercontact:read"},
		"one": {"openid fdx:bills:read", resources(`[{"resourceType":"ACCOUNT","resourceId":"a","dataClusters":["BILLS"]}]`), "openid fdx:bills:read"},
		"one, and one that opens nothing": {"fdx:rewards:read fdx:customercontact:read", resources(`[{"resourceType":"CUSTOMER","resourceId":"_1","dataClusters":["CUSTOMER_CONTACT"]}]`),
			"fdx:customercontact:read"},
		"none": {"openid fdx:rewards:read", "null", "openid"},
	} {
		t.Run(name, func(t *testing.T) {
			before := marshal(t, granted)
			details, both := granted.Intersect(scope(test.scope))
			if got := marshal(t, details); got != test.details || both.String() != test.both {
				t.Errorf("got %s and %s", got, both)
			}
			if diff := cmp.Diff(before, marshal(t, granted)); diff != "" {
				t.Errorf("the grant was changed: %s", diff)
			}
		})
	}
}

// A resource stays where it was first mentioned, so that two scopes one after the other give what both together give.
func TestIntersectKeepsTheOrder(t *testing.T) {
	asked := parse(t, resources(`[{"resourceType":"CUSTOMER","dataClusters":["CUSTOMER_CONTACT"]},
		{"resourceType":"ACCOUNT","dataClusters":["TAX"]}, {"resourceType":"CUSTOMER","dataClusters":["TAX"]}]`))
	want := resources(`[{"resourceType":"CUSTOMER","dataClusters":["TAX"]},{"resourceType":"ACCOUNT","dataClusters":["TAX"]}]`)
	wide, _ := asked.Intersect(scope("fdx:customercontact:read fdx:tax:read"))
	for name, d := range map[string]fdx.Details{"at once": asked, "after a wider scope": wide} {
		if got, _ := d.Intersect(scope("fdx:tax:read")); marshal(t, got) != want {
			t.Errorf("%s: got %s, want %s", name, marshal(t, got), want)
		}
	}
}
