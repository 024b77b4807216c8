package introspect_test

import (
	"encoding/json"
	"testing"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/fdx"
)

// sharing are details about one account.
func sharing(clusters ...string) fdx.Details {
	return fdx.Details{fdx.ConsentRequest{DurationType: fdx.Persistent, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, ResourceID: "one", DataClusters: clusters}}}}
}

// serving makes c2 a resource server for what c1's tokens are for.
func (b *bench) serving() {
	c := b.store.clients["c2"]
	c.Serves = []string{"https://api.example"}
	b.store.clients["c2"] = c
}

// consented is a token of grant 1 that bears these details.
func (b *bench) consented(scope string, details fdx.Details) string {
	b.t.Helper()
	compact, _, err := b.tokens.Issue(accesstoken.Token{Subject: "_alex", ClientID: "c1", GrantID: "grant 1", ConsentID: "grant 1",
		Audience: accesstoken.Audience{"https://api.example"}, Scope: scope, Details: details,
		Confirmation: accesstoken.Confirmation{JKT: "key"}}, time.Minute, noon)
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

// TestDetails (RAR-06, INT-04): what a token may be used for stands in the token; or else it is all that was granted and
// that its scope opens.
func TestDetails(t *testing.T) {
	const both = "fdx:accountbasic:read fdx:transactions:read"
	for name, test := range map[string]struct {
		scope   string
		details fdx.Details
		want    fdx.Details
	}{
		"in the token":        {both, sharing("TRANSACTIONS"), sharing("TRANSACTIONS")},
		"too long for it":     {both, nil, sharing("ACCOUNT_BASIC", "TRANSACTIONS")},
		"and a narrow scope":  {"fdx:transactions:read", nil, sharing("TRANSACTIONS")},
		"and nothing of FDX":  {"a:read", nil, nil},
		"a scope beyond that": {"fdx:statements:read", nil, nil},
	} {
		b := newBench(t)
		b.serving()
		b.store.grant.Details = sharing("ACCOUNT_BASIC", "TRANSACTIONS")
		var got struct {
			Active    bool        `json:"active"`
			ConsentID string      `json:"fdxConsentId"`
			GrantID   string      `json:"grant_id"`
			Details   fdx.Details `json:"authorization_details"`
		}
		says := b.says(b.c2, b.consented(test.scope, test.details), "")
		if err := json.Unmarshal([]byte(says), &got); err != nil || !got.Active || got.ConsentID != "grant 1" || got.GrantID != "grant 1" {
			t.Errorf("%s: %v in %s", name, err, says)
		}
		told, _ := json.Marshal(got.Details)
		if want, _ := json.Marshal(test.want); string(told) != string(want) {
			t.Errorf("%s: %s, want %s", name, told, want)
		}
	}
	b := newBench(t)
	b.store.grant.Details, b.store.grant.Scope = sharing("TRANSACTIONS"), "fdx:transactions:read fdx:statements:read"
	var got struct {
		ConsentID string      `json:"fdxConsentId"`
		Details   fdx.Details `json:"authorization_details"`
		Scope     string      `json:"scope"`
	}
	if err := json.Unmarshal([]byte(b.says(b.c1, refresh, "")), &got); err != nil || got.ConsentID != "grant 1" ||
		len(got.Details) != 1 || got.Scope != "fdx:transactions:read" {
		t.Errorf("a refresh token: %+v, %v", got, err)
	}
}

// TestErasedMeanwhile: a token whose details went with its grant, while somebody asked about it, is not active.
func TestErasedMeanwhile(t *testing.T) {
	b := newBench(t)
	b.serving()
	b.store.grant.Details, b.store.erases = sharing("TRANSACTIONS"), true
	if says := b.says(b.c2, b.consented("fdx:transactions:read", nil), ""); says != `{"active":false}` {
		t.Errorf("the token says %s", says)
	}
}

// TestUsed: a resource that asks about a token is what uses its grant; a client that asks about its own does not, and within
// a minute nothing is kept again.
func TestUsed(t *testing.T) {
	b := newBench(t)
	b.serving()
	token := b.consented("a:read", nil)
	b.says(b.c1, token, "")
	if b.store.grant.UsedAt != nil {
		t.Error("the client's own question uses the grant")
	}
	b.says(b.c2, token, "")
	if at := b.store.grant.UsedAt; at == nil || !at.Equal(noon) {
		t.Errorf("used at %v", at)
	}
	for age, want := range map[time.Duration]bool{time.Minute - time.Microsecond: false, time.Minute: true} {
		before := noon.Add(-age)
		b.store.grant.UsedAt = &before
		if b.says(b.c2, token, ""); b.store.grant.UsedAt.Equal(noon) != want {
			t.Errorf("%s after the last time: kept %v", age, !want)
		}
	}
}
