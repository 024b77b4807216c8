package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"

	"github.com/google/go-cmp/cmp"
)

// What the bank's own system wants to see, and says: its two accounts have numbers that nobody else must know.
const (
	bankToken    = "what-the-bank-knows-this-server-by"
	everydayIBAN = "DE89370400440532013000"
	rainyDayIBAN = "DE12500105170648489890"
	bothAccounts = `{"accounts":[{"id":"chk-7f3a","name":"Everyday","number":"` + everydayIBAN + `"},{"id":"sav-11c8","name":"Rainy day","number":"` + rainyDayIBAN + `"}]}`
	oneAccount   = `{"accounts":[{"id":"sav-11c8","name":"Rainy day","number":"` + rainyDayIBAN + `"}]}`
)

// question is what this server asks.
type question struct {
	Subject  string            `json:"subject"`
	Username string            `json:"username"`
	Upstream map[string]string `json:"upstream"`
}

// bank is the bank's own system.
type bank struct {
	*httptest.Server
	mu     sync.Mutex
	answer string // "" is 404, what is no JSON a fault
	asked  []question
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer "+bankToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b.asked = append(b.asked, q)
	switch {
	case b.answer == "":
		w.WriteHeader(http.StatusNotFound)
		return
	case !json.Valid([]byte(b.answer)):
		w.WriteHeader(http.StatusInternalServerError)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, b.answer)
}

// set has the bank say something else from now on.
func (b *bank) set(answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// questions are those that came since the last time.
func (b *bank) questions() []question {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.asked
	b.asked = nil
	return all
}

// deployAtBank deploys a server whose accounts are the bank's, where no number and no token of the bank may be logged.
func deployAtBank(t *testing.T) (*deployment, *bank, *flow.Client) {
	t.Helper()
	b := newBank(t)
	b.set(bothAccounts)
	d := deploy(t, 1, func(s *settings) { s.accountsOf(b.URL+"/people", bankToken) })
	for _, secret := range []string{bankToken, everydayIBAN, rainyDayIBAN} {
		d.wire.add(secret)
	}
	return d, b, d.recipient(0)
}

// grantedAccounts are the ids that the last grant names.
func (d *deployment) grantedAccounts(t *testing.T) []string {
	t.Helper()
	return one[[]string](t, d, `SELECT accounts FROM authorization_grant ORDER BY created_at DESC LIMIT 1`)
}

// A person chooses from the accounts that the bank's own system knows, and sees of their numbers what they recognise them by.
func TestAccountsOfTheBank(t *testing.T) {
	t.Parallel()
	d, bank, c := deployAtBank(t)
	a := ask(t, c)
	b := a.browser()
	a.upTo(b, "accounts")
	shown := b.Page.Exchange.ResponseBody
	for _, want := range []string{"Everyday", "•••• 3000", "Rainy day", "•••• 9890"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q on the page: %s", want, shown)
		}
	}
	form := filledIn(b.Page.Form("accounts"))
	form.Fields["accounts"] = []string{"chk-7f3a"}
	consent := submit(t, b, form)
	if body := consent.Exchange.ResponseBody; !strings.Contains(body, "•••• 3000") || strings.Contains(body, "Rainy day") {
		t.Errorf("the consent page shows another choice: %s", body)
	}
	for _, page := range b.Exchanges {
		if strings.Contains(page.ResponseBody, everydayIBAN) || strings.Contains(page.ResponseBody, rainyDayIBAN) {
			t.Errorf("a number in full: %s", page.ResponseBody)
		}
	}
	token := a.redeem(a.told(submit(t, b, filledIn(consent.Form("decision")))).Get("code"))
	if diff := cmp.Diff([]string{"chk-7f3a"}, d.grantedAccounts(t)); diff != "" {
		t.Error(diff)
	}
	alexIs, _ := claimsOf(t, token.AccessToken)["sub"].(string)
	all := bank.questions()
	if i := slices.IndexFunc(all, func(q question) bool { return q.Subject != alexIs || q.Username != demoUsername || q.Upstream != nil }); i >= 0 {
		t.Errorf("asked %+v", all[i])
	}
	if len(all) != 5 { // at the end of the login, for two pages, and for two forms
		t.Errorf("asked %d times", len(all))
	}
}

// While the bank's own system fails, every page that needs it says so, and the next try goes on from there.
func TestAccountsAreAwayAndComeBack(t *testing.T) {
	t.Parallel()
	d, bank, c := deployAtBank(t)
	for _, failure := range []string{"out of order", `{"accounts":[{"id":"chk-7f3a"}]}`} {
		a := ask(t, c)
		b := a.browser()
		login := filledIn(a.upTo(b, "password"))
		grants := d.grants(t)
		bank.set(failure)
		unread := d.away(t, b, login)
		if !strings.Contains(unread.Exchange.URL, "/accounts?interaction=") {
			t.Errorf("what can be loaded again is %s", unread.Exchange.URL)
		}
		bank.set(bothAccounts)
		choice := filledIn(visit(t, b, unread.Exchange.URL).Form("accounts"))

		bank.set(failure)
		d.away(t, b, choice)
		bank.set(bothAccounts)
		consent := submit(t, b, choice)

		bank.set(failure)
		d.away(t, b, &flow.Form{Method: http.MethodGet, Action: consent.Exchange.URL})
		yes := filledIn(consent.Form("decision"))
		d.away(t, b, yes)
		if n := d.grants(t); n != grants {
			t.Errorf("%d grants, %d before", n, grants)
		}
		bank.set(bothAccounts)
		a.redeem(a.told(submit(t, b, yes)).Get("code"))

		bank.set(failure) // which keeps nobody from stopping
		if p := visit(t, b, d.issuer+"/connected"); formTo(p, "/connected/stop") == nil {
			t.Errorf("%s", p)
		}
		bank.set(bothAccounts)
	}
	if n := strings.Count(d.logs.String(), `"lacks":"`); n != 2 {
		t.Errorf("%d records of pages without names, want 2", n)
	}
	if n := strings.Count(d.logs.String(), `"reason":"accounts_unavailable"`); n != 8 {
		t.Errorf("%d records, want 8", n)
	}
	for _, cause := range []string{"the bank's system answered 500", "accounts[0].name is missing"} {
		if !strings.Contains(d.logs.String(), cause) {
			t.Errorf("no cause %q in the log", cause)
		}
	}

	a := ask(t, c) // nobody has to wait for the bank to say no
	b := a.browser()
	no := filledIn(a.upTo(b, "decision"))
	no.Fields.Set("decision", flow.Deny)
	bank.set("out of order")
	if got := a.told(submit(t, b, no)).Get("error"); got != "access_denied" {
		t.Errorf("told %s", got)
	}
}

// away sends a form in another tab, and wants the page that says that the accounts cannot be read just now.
func (d *deployment) away(t *testing.T, b *flow.Browser, form *flow.Form) *flow.Page {
	t.Helper()
	p, err := d.tab(b, 0).Submit(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	refusedPage(t, p, http.StatusServiceUnavailable, oauth.AccountsUnavailable)
	h, body := p.Exchange.ResponseHeader, p.Exchange.ResponseBody
	if h.Get("Retry-After") != "3" || h.Get("Cache-Control") != "no-store" || p.Heading != "We cannot read your accounts just now" ||
		!strings.Contains(body, "Nothing was shared.") || !strings.Contains(body, "load the page again") || inside.MatchString(body) {
		t.Errorf("%v\n%s", h, body)
	}
	return p
}

// An account that has vanished since it was chosen is not granted, and the person chooses again.
func TestAccountVanishes(t *testing.T) {
	t.Parallel()
	d, bank, c := deployAtBank(t)
	a := ask(t, c)
	b := a.browser()
	yes := filledIn(a.upTo(b, "decision"))
	grants := d.grants(t)
	bank.set(oneAccount)
	again := submit(t, b, yes)
	if offered := again.Form("accounts"); offered == nil || !slices.Equal(offered.Choices["accounts"], []string{"sav-11c8"}) || d.grants(t) != grants {
		t.Fatalf("%s\n%s", again, again.Exchange.ResponseBody)
	}
	if form := filledIn(again.Form("accounts")); form != nil {
		form.Fields["accounts"] = []string{"chk-7f3a"} // which was theirs
		refusedPage(t, submit(t, b, form), http.StatusBadRequest, oauth.FormField)
	}
	a.redeem(a.told(submit(t, b, filledIn(submit(t, b, filledIn(again.Form("accounts"))).Form("decision")))).Get("code"))
	if diff := cmp.Diff([]string{"sav-11c8"}, d.grantedAccounts(t)); diff != "" {
		t.Error(diff)
	}

	a = ask(t, c) // in the end there is none left
	b = a.browser()
	bank.set(bothAccounts)
	yes = filledIn(a.upTo(b, "decision"))
	bank.set("")
	if p := submit(t, b, yes); p.Form("decision") != nil || d.grants(t) != grants+1 {
		t.Errorf("%s", p)
	}
	if got := ask(t, c).answerIn(b, flow.Approve).Get("error"); got == "" {
		t.Error("a person without accounts shares some")
	}
}

// The accounts of a file are those of whoever it names, as of its last good version. dev's own are nobody's then.
func TestAccountsOfAFile(t *testing.T) {
	t.Parallel()
	path := writeText(t, "accounts.json", `{"people":[{"username":"kim","accounts":[{"id":"one","name":"First","number":"30004021"}]}]}`)
	d := deploy(t, 1, func(s *settings) { s.AccountsFile = path })
	c := d.recipient(0)
	kim := d.inhabitant("kim")
	offered := func() []string {
		t.Helper()
		a := ask(t, c).as(kim)
		b := a.browser()
		form := a.upTo(b, "accounts")
		if body := b.Page.Exchange.ResponseBody; !strings.Contains(body, "•••• 4021") || strings.Contains(body, "30004021") {
			t.Errorf("%s", body)
		}
		return form.Choices["accounts"]
	}
	if got := offered(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("offered %v", got)
	}
	if got := ask(t, c).answer(flow.Approve).Get("error"); got == "" {
		t.Error("alex, who is not in the file, shares accounts")
	}
	replaced := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	replaced(`{"people":[{"username":"kim","accounts":[{"id":"two","name":"Second","number":"30004021"}]}]}`, time.Hour)
	if got := offered(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("offered %v after a change", got)
	}
	replaced(`{"people":[{"username":"kim","accounts":[{"id":"three","name":"Third","number":30004021}]}]}`, 2*time.Hour)
	if got := offered(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("offered %v while the file is broken", got)
	}
	if log := d.logs.String(); strings.Count(log, "accounts file not read again") != 1 || strings.Contains(log, "30004021") {
		t.Errorf("%s", log)
	}
}

// The certificate of the settings is shown to the bank's own system, which must come from the authority of the settings; its
// files may change at any time.
func TestAccountsCertificate(t *testing.T) {
	ours, theirs, next := newAuthority(t), newAuthority(t), newAuthority(t)
	b := &bank{answer: oneAccount}
	b.Server = httptest.NewUnstartedServer(b)
	clients := ours.pool()
	clients.AddCert(next.certificate)
	b.TLS = &tls.Config{
		Certificates: []tls.Certificate{theirs.issue(t, "ECDSA", "localhost")}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	var seen []string
	b.TLS.VerifyConnection = func(s tls.ConnectionState) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		seen = append(seen, s.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	b.StartTLS()
	t.Cleanup(b.Close)
	_, port, _ := strings.Cut(b.Listener.Addr().String(), ":")
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	called := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = name, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
	}
	first, second := ours.certify(t, called("first")), next.certify(t, called("second"))
	writePair(t, first, cert, key)
	c, problems := understood(func(s *settings) {
		s.Login = "builtin"
		s.accountsOf("https://localhost:"+port, bankToken)
		s.AccountsCertFile, s.AccountsKeyFile, s.AccountsCAFile = cert, key, theirs.writeFile(t)
	}, false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	callback, err := c.accounts.openCallback(nil, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	kim := person.Person{Subject: "_kim", Username: "kim"}
	for i, pair := range []tls.Certificate{first, second} {
		writePair(t, pair, cert, key)
		if err := os.Chtimes(cert, time.Now(), time.Now().Add(-time.Duration(i+1)*time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.CloseClientConnections()
		if got, known, err := callback.Ask(t.Context(), kim); err != nil || !known || len(got) != 1 || got[0].Number != "•••• 9890" {
			t.Errorf("%v %v", got, err)
		}
	}
	if diff := cmp.Diff([]string{"first", "second"}, seen); diff != "" {
		t.Error(diff)
	}
}
