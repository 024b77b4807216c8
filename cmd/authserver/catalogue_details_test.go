package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

// detailsOf are the elements of authorization_details in an answer, each as its resources: type, id and data clusters.
func detailsOf(t *testing.T, e map[string]any) (elements []string) {
	t.Helper()
	list, _ := e["authorization_details"].([]any)
	for _, element := range list {
		request, _ := element.(map[string]any)["consentRequest"].(map[string]any)
		resources, _ := request["resources"].([]any)
		var all []string
		for _, r := range resources {
			of, _ := r.(map[string]any)
			var clusters []string
			for _, c := range of["dataClusters"].([]any) {
				clusters = append(clusters, c.(string))
			}
			id, _ := of["resourceId"].(string)
			all = append(all, of["resourceType"].(string)+" "+id+" "+strings.Join(clusters, " "))
		}
		elements = append(elements, strings.Join(all, ", "))
	}
	return elements
}

// twoOfAType: PR-40. Two details of one type stay two, from the push to the token, and none is lost.
func twoOfAType(t *testing.T, d *deployment) {
	c := d.recipient(0)
	first, second := lastingDetails("ACCOUNT_BASIC"), lastingDetails("TRANSACTIONS")
	both := strings.TrimSuffix(first, "]") + "," + strings.TrimPrefix(second, "[")
	a := ask(t, c, twoScopes, bend("authorization_details", both))
	e := d.expect(c, a.redemption(a.code()), "200")
	want := []string{
		"ACCOUNT demo-checking ACCOUNT_BASIC, ACCOUNT demo-savings ACCOUNT_BASIC",
		"ACCOUNT demo-checking TRANSACTIONS, ACCOUNT demo-savings TRANSACTIONS",
	}
	if diff := cmp.Diff(want, detailsOf(t, e.JSON())); diff != "" {
		t.Errorf("(-want +granted):\n%s", diff)
	}
	token, _ := e.JSON()["access_token"].(string)
	for _, replica := range d.everywhere(c) {
		if diff := cmp.Diff(want, detailsOf(t, introspected(t, replica, token))); diff != "" {
			t.Errorf("(-want +introspected):\n%s", diff)
		}
	}
}

// refreshedWider: RT-11. What goes beyond the granted details is refused at every replica, and the grant stays as it was.
func refreshedWider(t *testing.T, d *deployment) {
	c := d.recipient(0)
	f := d.family(c, flow.NewBrowser(c.Server))
	element := func(terms, resource string) string {
		return `[{"type":"fdx_v1.0","consentRequest":{` + terms + `,"resources":[{"resourceType":"ACCOUNT",` + resource + `}]}}]`
	}
	const granted, days = `"dataClusters":["ACCOUNT_BASIC"]`, `"durationType":"TIME_BOUND","durationPeriod":30`
	for _, wider := range []string{
		element(days, `"dataClusters":["ACCOUNT_BASIC","TRANSACTIONS"]`), element(days, `"dataClusters":["TRANSACTIONS"]`),
		element(days, `"resourceId":"another",`+granted), element(`"durationType":"TIME_BOUND","durationPeriod":31`, granted),
		element(`"durationType":"PERSISTENT"`, granted), element(`"durationType":"ONE_TIME"`, granted),
		strings.ReplaceAll(element(days, granted), `"ACCOUNT"`, `"DOCUMENT"`),
	} {
		for _, replica := range d.everywhere(c) {
			r := replica.RefreshRequest(f.token.RefreshToken, url.Values{"authorization_details": {wider}})
			refusedFor(t, do(t, replica.Server, r), "400 invalid_authorization_details", oauth.DetailsBeyondGrant)
		}
	}
	d.wantFamily(f, true)
}

// notRefreshed: RT-13. A ONE_TIME consent gives one access token and nothing to refresh with, at no replica and at no time.
func notRefreshed(t *testing.T, d *deployment) {
	c := d.recipient(0)
	a := ask(t, c, bend("authorization_details", strings.Replace(lastingDetails("ACCOUNT_BASIC"),
		`"TIME_BOUND","durationPeriod":30`, `"ONE_TIME"`, 1)))
	code := a.code()
	e := d.expect(c, a.redemption(code), "200")
	token, _ := e.JSON()["access_token"].(string)
	if _, refreshes := e.JSON()["refresh_token"]; refreshes || token == "" {
		t.Fatal(e.ResponseBody)
	}
	if n := one[int](t, d, `SELECT count(*) FROM authorization_grant WHERE id = $1 AND refresh_token IS NOT NULL`, e.JSON()["grant_id"]); n != 0 {
		t.Error("a refresh token is kept")
	}
	for _, replica := range d.everywhere(c) {
		for _, guess := range []string{code, token, oauth.NewSecret().Reveal()} {
			refusedFor(t, do(t, replica.Server, replica.RefreshRequest(guess, nil)), "400 invalid_grant", oauth.RefreshTokenUnknown)
		}
		if introspected(t, replica, token)["active"] != true {
			t.Error("a refresh that was refused has ended the token")
		}
	}
	d.clock.advance(5*time.Minute + time.Second)
	own, err := c.Token(t.Context(), url.Values{"scope": {"client.read"}})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := e.JSON()["grant_id"].(string)
	shown := d.expect(c, c.Present(&flow.Request{Method: http.MethodGet, URL: d.issuer + "/fdx/v6/consents/" + id}, own.AccessToken), "200")
	if shown.JSON()["status"] != "EXPIRED" {
		t.Errorf("the consent is %v, with its token gone", shown.JSON()["status"])
	}
}
