package page_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html/atom"
)

// main is all that the page says to the person.
func main(d document) string { return words(d.elements(atom.Main)[0]) }

// says expects words on the page, in their order.
func says(t *testing.T, d document, want ...string) {
	t.Helper()
	said := main(d)
	for _, w := range want {
		_, rest, found := strings.Cut(said, w)
		if !found {
			t.Errorf("the page does not say %q, or not there: %s", w, said)
			continue
		}
		said = rest
	}
}

// TestAUTHZ06Consent: who asks, for which data, about which accounts, until when, how far back and how to stop it.
func TestAUTHZ06Consent(t *testing.T) {
	says(t, read(t, write(t, "en", sights()["consent"])),
		"Budget Buddy asks for access to your data", "Basic account information", "Transactions", "Account statements",
		"Everyday ****4021", "Savings ****7788", "Until November 22, 2027", "How far back Everything there is, however old.",
		"at any time, with one press of a button, on the page of your connected apps: https://bank.example/connected",
		"Signed in as alex.")
	says(t, read(t, write(t, "en", sights()["consent-once"])),
		"For how long Once, right after you allow it.", "How far back The last 60 days before the app asks for the data.")
	says(t, read(t, write(t, "es", sights()["consent-once"])), "Una sola vez, justo después de que usted lo permita.")
	says(t, read(t, write(t, "fr", sights()["consent-once"])), "Une seule fois, juste après votre autorisation.")
	dates := map[string][2]string{
		"en": {"Until November 22, 2027", "Until March 1, 2028"},
		"es": {"Hasta el 22 de noviembre de 2027", "Hasta el 1 de marzo de 2028"},
		"fr": {"Jusqu’au 22 novembre 2027", "Jusqu’au 1er mars 2028"},
	}
	ends := []time.Time{
		time.Date(2027, 11, 22, 23, 59, 0, 0, time.UTC), time.Date(2028, 2, 29, 22, 0, 0, 0, time.FixedZone("", -4*3600)),
	}
	for l, want := range dates {
		for i, until := range ends {
			says(t, read(t, write(t, l, page.Consent{Until: until})), want[i])
		}
	}
}

// TestAUTHZ06Answers: one answer is as good as the other.
func TestAUTHZ06Answers(t *testing.T) {
	d := read(t, write(t, "en", sights()["consent"]))
	approve, deny := d.byID("approve"), d.byID("deny")
	if attribute(approve, "class") != attribute(deny, "class") || words(approve) != "Allow" || words(deny) != "Don’t allow" {
		t.Error("the answers do not weigh the same")
	}
}

// TestAUTHZ06Parties: who asks is told with its site, its legal names and where they are registered, and so is everybody in
// between. The pictures say nothing that is not said in words.
func TestAUTHZ06Parties(t *testing.T) {
	d := read(t, write(t, "en", sights()["consent-everything"]))
	says(t, d, "Who asks International Association of Budget Buddies and Bookkeepers (Open Finance Division)",
		"https://open-finance-division.international-association-of-budget-buddies.example/apps",
		"Legal name: International Association of Budget Buddies and Bookkeepers, Incorporated",
		"Registered as 254900OPPU84GM83MG36 in the global register of legal entities (GLEIF)",
		"Legal name: IABBB", "Registered as 0001-7 in a private register",
		"Registered as budget-buddies.example in the register of internet names (ICANN)",
		"Through Data Bridge https://data-bridge.example/ Legal name: Data Bridge Platform LLC",
		"Registered as FDX-20871 in the registry of the Financial Data Exchange (FDX)",
		"Listed in the register of internet names (ICANN)",
		"Through Ledger Post", "What it asks for")
	var pictures []string
	for _, img := range d.elements(atom.Img) {
		pictures = append(pictures, attribute(img, "src")+attribute(img, "alt"))
		if !has(img, "alt") {
			t.Error("a picture has no alt, so its address is read out")
		}
	}
	if diff := cmp.Diff([]string{"/logos/association", "/logos/data-bridge"}, pictures); diff != "" {
		t.Error(diff)
	}
	if n := len(d.elements(atom.A)); n > 0 {
		t.Errorf("there are %d links, and a site is none", n)
	}
	if plain := main(read(t, write(t, "en", sights()["consent"]))); strings.Contains(plain, "Who asks") {
		t.Errorf("the name alone is told twice: %s", plain)
	}
}

// TestRegistries: the registries of FDX have words of their own in every language, and another one is called by its name.
func TestRegistries(t *testing.T) {
	for _, l := range page.Languages() {
		said := map[string]bool{}
		for _, registry := range registries {
			entity := page.Entity{Registry: registry, ID: "17"}
			text := main(read(t, write(t, l, page.Consent{Client: page.Party{Entities: []page.Entity{entity}}})))
			if said[text] {
				t.Errorf("%s says the same of %s as of another one: %s", l, registry, text)
			}
			said[text] = true
		}
		other := page.Party{Entities: []page.Entity{{Registry: "LLOYDS", ID: "17"}}}
		if text := main(read(t, write(t, l, page.Consent{Client: other}))); !strings.Contains(text, "LLOYDS") {
			t.Errorf("%s does not name the registry: %s", l, text)
		}
	}
}

// TestAZ13Picture: a logo comes from this server or not at all.
func TestAZ13Picture(t *testing.T) {
	for logo, want := range map[string]string{
		"/logos/a": "/logos/a", "/bank/logos/a?v=1": "/bank/logos/a?v=1", "": "", "//evil.example/a": "", `/\evil.example/a`: "",
		"https://evil.example/a.png": "", "data:image/png;base64,AA": "", "javascript:alert(1)": "", "evil.png": "",
	} {
		d := read(t, write(t, "en", page.Consent{Client: page.Party{Logo: logo, Site: "x"}}))
		var got string
		for _, img := range d.elements(atom.Img) {
			got = attribute(img, "src")
		}
		if got != want || len(d.elements(atom.Img)) > 0 != (want != "") {
			t.Errorf("%q is loaded from %q, expected %q", logo, got, want)
		}
	}
}

// TestClusters: every data cluster has words of its own in every language, and says below them what it holds.
func TestClusters(t *testing.T) {
	var opened []string
	for _, name := range clusters {
		scopes, _ := fdx.ScopesOf(name)
		opened = append(opened, scopes...)
	}
	if diff := cmp.Diff(fdx.Scopes(), opened); diff != "" {
		t.Fatalf("these are not all data clusters: %s", diff)
	}
	for _, l := range page.Languages() {
		said := map[string]string{}
		for _, name := range clusters {
			d := read(t, write(t, l, page.Consent{Clusters: []string{name}}))
			told(t, l, name, d, said)
		}
		for _, name := range overall { // said in other words than of the chosen accounts
			told(t, l, name, read(t, write(t, l, page.Consent{Overall: []string{name}})), said)
		}
	}
}

// overall are the data clusters that can tell of all that a person has.
var overall = []string{"NOTIFICATIONS", "REWARDS", "TAX"}

// told expects one permission on the page, told otherwise than those that were said already.
func told(t *testing.T, l, name string, d document, said map[string]string) {
	t.Helper()
	label, exactly := words(d.elements(atom.Li)[0]), words(d.elements(atom.Dl)[0])
	if label == "" || strings.Contains(label, name) || said[label] != "" {
		t.Errorf("%s says %q of %s, and the same of %s", l, label, name, said[label])
	}
	said[label] = name
	about, ok := strings.CutPrefix(exactly, label+" "+name+" ")
	if !ok || len(about) <= len(label) || said[about] != "" {
		t.Errorf("%s does not say exactly what %s holds: %s", l, name, exactly)
	}
	said[about] = name
}

// TestScopes: a scope that no data cluster tells of has words of its own, and one of the operator's is called by its name.
func TestScopes(t *testing.T) {
	for _, l := range page.Languages() {
		said := map[string]string{}
		for _, scope := range untold() {
			told(t, l, scope, read(t, write(t, l, page.Consent{Scopes: []string{scope}})), said)
		}
		d := read(t, write(t, l, page.Consent{Scopes: []string{"example:loyalty"}}))
		if label := words(d.elements(atom.Li)[0]); label != "example:loyalty" {
			t.Errorf("%s says %q of a scope that it does not know", l, label)
		}
	}
}

// untold are the scopes of the server of which no data cluster tells: the first of a cluster is what its words are about.
func untold() []string {
	scopes := append(fdx.Scopes(), "openid", "offline_access")
	for _, name := range clusters {
		opens, _ := fdx.ScopesOf(name)
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == opens[0] })
	}
	return scopes
}

// TestPermissions: what a cluster says is not said again as a scope; what goes beyond it, such as moving money, is.
func TestPermissions(t *testing.T) {
	for _, test := range []struct {
		clusters, scopes string
		want             string
	}{
		{"TRANSFERS", "openid fdx:transfers:read", "Transfers|Who you are"},
		{"TRANSFERS", "fdx:transfers:read fdx:transfers:write", "Transfers|Making transfers"},
		{"TRANSFERS", "fdx:transfers:write", "Transfers|Making transfers"},
		{"NOTIFICATIONS BILLS", "fdx:bills:read fdx:notifications:publish", "Getting notifications|Bills|Sending notifications"},
		{"BILLS", "fdx:bills:read offline_access loyalty", "Bills|Access while you are away|loyalty"},
		{"", "openid", "Who you are"},
	} {
		m := page.Consent{Clusters: strings.Fields(test.clusters), Scopes: strings.Fields(test.scopes)}
		var labels []string
		for _, li := range read(t, write(t, "en", m)).elements(atom.Li) {
			labels = append(labels, words(li))
		}
		if got := strings.Join(labels, "|"); got != test.want {
			t.Errorf("%s with %s: %s, expected %s", test.clusters, test.scopes, got, test.want)
		}
	}
}

// TestLookBack: days, and years where they are whole; nothing where no data is asked for.
func TestLookBack(t *testing.T) {
	for days, want := range map[int]string{
		0: "Everything there is, however old.", 1: "The last day before", 2: "The last 2 days before",
		60: "The last 60 days before", 364: "The last 364 days before", 365: "The last year before",
		366: "The last 366 days before", 730: "The last 2 years before", 36500: "The last 100 years before",
	} {
		says(t, read(t, write(t, "en", page.Consent{Clusters: []string{"TAX"}, LookBack: days})), "How far back "+want)
	}
	if text := main(read(t, write(t, "en", sights()["consent-identity"]))); strings.Contains(text, "How far back") {
		t.Errorf("without data there is no age of it: %s", text)
	}
}
