package main

import (
	"net/http"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// Pages that were left open while something else changed what they are about.
func TestStalePages(t *testing.T) {
	d := deploy(t, 2, nil)
	for name, play := range map[string]func(t *testing.T, d *deployment, c *flow.Client){
		"accounts that another tab has chosen since": accountsOfAnotherTab,
	} {
		t.Run(name, func(t *testing.T) { play(t, d.within(t), d.recipient(0)) })
	}
}

// accountsOfAnotherTab: a yes is to the accounts that stand on the page, whatever another tab has chosen since.
func accountsOfAnotherTab(t *testing.T, d *deployment, c *flow.Client) {
	a := ask(t, c)
	b := a.browser()
	one := filledIn(a.upTo(b, "accounts"))
	one.Fields["accounts"] = []string{"demo-savings"}
	yes := filledIn(submit(t, b, one).Form("decision"))
	tab := d.tab(b, 1)
	tab.Page = b.Page
	both := filledIn(ofAddress(t, tab, "/accounts").Form("accounts"))
	both.Fields["accounts"] = both.Choices["accounts"]
	yesToBoth := filledIn(submit(t, tab, both).Form("decision"))
	refusedPage(t, submit(t, b, yes), http.StatusForbidden, oauth.FormRefused)
	a.redeem(a.told(submit(t, tab, yesToBoth)).Get("code"))
}
