package token_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// shared is what alex shares: two clusters of two accounts, for 30 days.
func shared() fdx.Details {
	return fdx.Details{fdx.ConsentRequest{DurationType: fdx.TimeBound, DurationPeriod: 30, LookbackPeriod: 60, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, ResourceID: "one", DataClusters: []string{"ACCOUNT_BASIC", "TRANSACTIONS"}},
		{ResourceType: fdx.Account, ResourceID: "two", DataClusters: []string{"ACCOUNT_BASIC", "TRANSACTIONS"}},
	}}}
}

// sharing has the grant be a consent of FDX.
func sharing(details fdx.Details) func(*bench) {
	return func(b *bench) {
		b.grants.grant.Scope, b.grants.grant.Details = "fdx:accountbasic:read fdx:transactions:read a:read", details
		b.registry.client.Metadata.Scope = "fdx:accountbasic:read fdx:transactions:read a:read"
	}
}

// asking is a token request's authorization_details about one resource.
func asking(members, resource string) string {
	return `[{"type":"fdx_v1.0","consentRequest":{` + members + `,"resources":[{"resourceType":"ACCOUNT",` + resource + `}]}}]`
}

const terms = `"durationType":"TIME_BOUND","durationPeriod":30`

// TestDetails (RAR-04 to RAR-06, FDX-06): response and token tell what may be used, and which consent says so; a request
// narrows them, as scope does, and each narrows the other.
func TestDetails(t *testing.T) {
	const whole = "fdx:accountbasic:read fdx:transactions:read a:read"
	for name, test := range map[string]struct {
		edits  []string
		scope  string
		shares string // account: clusters
	}{
		"all":              {nil, whole, "one: ACCOUNT_BASIC TRANSACTIONS, two: ACCOUNT_BASIC TRANSACTIONS"},
		"one account":      {[]string{"authorization_details", asking(terms, `"resourceId":"two","dataClusters":["ACCOUNT_BASIC","TRANSACTIONS"]`)}, whole, "two: ACCOUNT_BASIC TRANSACTIONS"},
		"one cluster":      {[]string{"authorization_details", asking(terms, `"dataClusters":["TRANSACTIONS"]`)}, "fdx:transactions:read a:read", "one: TRANSACTIONS, two: TRANSACTIONS"},
		"by scope":         {[]string{"scope", "fdx:transactions:read"}, "fdx:transactions:read", "one: TRANSACTIONS, two: TRANSACTIONS"},
		"by both":          {[]string{"scope", "fdx:transactions:read", "authorization_details", asking(terms, `"resourceId":"one","dataClusters":["ACCOUNT_BASIC","TRANSACTIONS"]`)}, "fdx:transactions:read", "one: TRANSACTIONS"},
		"nothing of FDX":   {[]string{"scope", "a:read"}, "a:read", ""},
		"a shorter period": {[]string{"authorization_details", asking(terms+`,"lookbackPeriod":7`, `"resourceId":"one","dataClusters":["TRANSACTIONS"]`)}, "fdx:transactions:read a:read", "one: TRANSACTIONS"},
	} {
		for grantType, request := range map[string]func(*bench) map[string]any{
			"refresh_token":      func(b *bench) map[string]any { a, _ := b.granted(b.refreshing(test.edits...)); return a },
			"authorization_code": func(b *bench) map[string]any { a, _ := b.granted(b.redeem(test.edits...)); return a },
		} {
			if grantType == "authorization_code" && len(test.edits) > 0 && test.edits[0] == "scope" {
				continue // a code has no scope to narrow
			}
			t.Run(name+" "+grantType, func(t *testing.T) {
				b := newBench(t, sharing(shared()))
				answer := request(b)
				text, err := json.Marshal(answer["authorization_details"])
				var told fdx.Details
				if err == nil {
					err = json.Unmarshal(text, &told)
				}
				if err != nil || answer["scope"] != test.scope || named(told) != test.shares || answer["grant_id"] != "grant 1" {
					t.Errorf("%v: %s of %q for %v", err, named(told), answer["scope"], answer["grant_id"])
				}
				says, err := b.endpoint.Tokens.Recognise(answer["access_token"].(string), noon)
				if diff := cmp.Diff(told, says.Details); diff != "" || err != nil || says.ConsentID != "grant 1" || says.GrantID != "grant 1" {
					t.Errorf("%v: the token is of %q and %q (-told +says):\n%s", err, says.ConsentID, says.GrantID, diff)
				}
				if b.grants.grant.UsedAt == nil && grantType == "refresh_token" {
					t.Error("the grant is not known to be used")
				}
			})
		}
	}
}

// named are details in short.
func named(details fdx.Details) string {
	var all []string
	for _, r := range details.ConsentRequests() {
		for _, of := range r.Resources {
			all = append(all, of.ResourceID+": "+strings.Join(of.DataClusters, " "))
		}
	}
	return strings.Join(all, ", ")
}

// TestDetailsRefused (RT-11, RAR-05): more than was granted is refused, by the path of what is more, and so is what is no
// details at all; that costs nothing.
func TestDetailsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		details string
		want    oauth.Reason
		spends  int
	}{
		"RT-11 another account":     {asking(terms, `"resourceId":"three","dataClusters":["TRANSACTIONS"]`), oauth.DetailsBeyondGrant, 1},
		"RT-11 another cluster":     {asking(terms, `"dataClusters":["STATEMENTS"]`), oauth.DetailsBeyondGrant, 1},
		"RT-11 one more cluster":    {asking(terms, `"dataClusters":["TRANSACTIONS","STATEMENTS"]`), oauth.DetailsBeyondGrant, 1},
		"RT-11 for longer":          {asking(`"durationType":"TIME_BOUND","durationPeriod":31`, `"dataClusters":["TRANSACTIONS"]`), oauth.DetailsBeyondGrant, 1},
		"RT-11 until it is stopped": {asking(`"durationType":"PERSISTENT"`, `"dataClusters":["TRANSACTIONS"]`), oauth.DetailsBeyondGrant, 1},
		"RT-11 further back":        {asking(terms+`,"lookbackPeriod":61`, `"dataClusters":["TRANSACTIONS"]`), oauth.DetailsBeyondGrant, 1},
		"no array":                  {"{}", oauth.DetailsMalformed, 0},
		"another type":              {`[{"type":"other"}]`, oauth.DetailsType, 0},
		"an unknown member":         {asking(terms+`,"more":1`, `"dataClusters":["TRANSACTIONS"]`), oauth.DetailsMember, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, sharing(shared()))
			b.refused(b.refreshing("authorization_details", test.details), test.want)
			if len(b.registry.spends) != test.spends {
				t.Errorf("%d spends", len(b.registry.spends))
			}
		})
	}
	b := newBench(t, sharing(shared()))
	_, beyond := shared().Narrow(fdx.Details{fdx.ConsentRequest{DurationType: fdx.OneTime}})
	b.grants.redemption = grant.Redemption{Outcome: grant.WrongDetails, Failures: 2, Beyond: beyond}
	b.refused(b.redeem(), oauth.DetailsBeyondGrant)
	if says := b.refusal.Description; !strings.HasSuffix(says, "wrong try 2 of 5: the code is still good") || !strings.Contains(says, "durationType") {
		t.Errorf("the try is refused with %q", says)
	}
}

// TestOnce (RT-13, FDX-09): a consent for once has no refresh token, and its token lives as long as it does.
func TestOnce(t *testing.T) {
	once := shared()
	r := once[0].(fdx.ConsentRequest)
	r.DurationType, r.DurationPeriod = fdx.OneTime, 0
	once[0] = r
	b := newBench(t, sharing(once))
	b.grants.grant.ExpiresAt = noon.Add(5 * time.Minute).Truncate(time.Second)
	answer, says := b.granted(b.redeem())
	if _, refreshes := answer["refresh_token"]; refreshes || says.ExpiresAt != b.grants.grant.ExpiresAt.Unix() {
		t.Errorf("refreshes %v, ends at %d", refreshes, says.ExpiresAt)
	}
}

// TestLongDetails: details that are too long for a token stand in the response alone, and a request cannot ask for a part
// that is too long for one.
func TestLongDetails(t *testing.T) {
	long := shared()
	r := long[0].(fdx.ConsentRequest)
	for n := range 50 {
		r.Resources = append(r.Resources, fdx.Resource{ResourceType: fdx.Account,
			ResourceID: fmt.Sprintf("%0100d", n), DataClusters: []string{"TRANSACTIONS"}})
	}
	long[0] = r
	b := newBench(t, sharing(long))
	answer, says := b.granted(b.refreshing())
	if all, _ := answer["authorization_details"].([]any); len(all) != 1 || says.Details != nil || says.ConsentID != "grant 1" {
		t.Errorf("%d told, %d in the token of %q", len(all), len(says.Details), says.ConsentID)
	}
	b.refused(b.refreshing("authorization_details", asking(terms, `"dataClusters":["TRANSACTIONS"]`)), oauth.DetailsMalformed)
}

// TestNoDetailsOfOnesOwn: what a person grants is not a client's to have in its own name.
func TestNoDetailsOfOnesOwn(t *testing.T) {
	b := newBench(t)
	b.refused(b.TokenRequest(url.Values{"grant_type": {"client_credentials"},
		"authorization_details": {asking(terms, `"dataClusters":["TRANSACTIONS"]`)}}), oauth.DetailsBeyondGrant)
	if len(b.registry.spends) != 0 {
		t.Errorf("%d spends", len(b.registry.spends))
	}
}
