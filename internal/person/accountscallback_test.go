package person

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

const bankToken = "the-banks-token"

// authority issues certificates for this machine.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	made := makeCertificate(t, authority{})
	return authority{made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// makeCertificate makes one that an authority has signed, or itself, with today's clock: TLS asks that one.
func makeCertificate(t *testing.T, by authority) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := by.certificate, by.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// callback asks a system that answers so, in clear on this machine.
func callback(t *testing.T, answer http.HandlerFunc, edits ...func(*CallbackSettings)) *AccountsCallback {
	t.Helper()
	bank := httptest.NewServer(answer)
	t.Cleanup(bank.Close)
	s := CallbackSettings{URL: bank.URL + "/accounts", Token: bankToken, Timeout: time.Minute}
	for _, edit := range edits {
		edit(&s)
	}
	return newCallback(t, s)
}

func newCallback(t *testing.T, s CallbackSettings) *AccountsCallback {
	t.Helper()
	c, err := NewAccountsCallback(s, folk)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// says answers with JSON.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

func TestAccountsCallback(t *testing.T) {
	var asked []string
	c := callback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
		h := r.Header
		if r.Method != http.MethodPost || r.URL.Path != "/accounts" || h.Get("Authorization") != "Bearer "+bankToken ||
			h.Get("Content-Type") != "application/json" || h.Get("Accept") != "application/json" || h.Values("Idempotency-Key") != nil {
			t.Errorf("%s %s %v", r.Method, r.URL, h)
		}
		if strings.Contains(string(body), "_other") {
			http.NotFound(w, r)
			return
		}
		says(`{"accounts": [{"id": "acc-1", "name": "Everyday", "number": "DE89 3704 0044 0532 0130 00"}, {"id": "acc-2", "name": "Rainy day"}]}`)(w, r)
	})
	two := []Account{{"acc-1", "Everyday", "•••• 3000"}, {"acc-2", "Rainy day", ""}}
	for subject, want := range map[string][]Account{"_kim": two, "_sam": two, "_other": nil} {
		got, err := c.Accounts(t.Context(), subject)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", subject, err, diff)
		}
	}
	if _, known, err := c.Ask(t.Context(), folk["_kim"]); !known || err != nil {
		t.Errorf("kim is unknown: %v", err)
	}
	if _, known, err := c.Ask(t.Context(), folk["_other"]); known || err != nil {
		t.Errorf("somebody else is known: %v", err)
	}
	for _, want := range []string{
		`{"subject":"_kim","username":"kim"}`, `{"subject":"_sam","upstream":{"issuer":"https://login.bank.example","subject":"248289761001"}}`,
	} {
		if !strings.Contains(strings.Join(asked, "\n"), want) {
			t.Errorf("%s was not asked, but %q", want, asked)
		}
	}
	n := len(asked)
	if got, err := c.Accounts(t.Context(), "_nobody"); got != nil || err != nil || len(asked) != n {
		t.Errorf("nobody has %v, %v", got, err)
	}
	if _, err := c.Accounts(t.Context(), ""); err == nil || len(asked) != n {
		t.Errorf("the database was away, and somebody was asked about: %v", err)
	}
}

// Whatever goes wrong is one refusal, with its cause in the log alone, and no list, not even an empty one.
func TestAccountsUnavailable(t *testing.T) {
	var went atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { went.Add(1) }))
	defer elsewhere.Close()
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only behind that the server sees who leaves
		<-r.Context().Done()
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	soon := func(s *CallbackSettings) { s.Timeout = 50 * time.Millisecond }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string // in the cause
		edit   func(*CallbackSettings)
	}{
		"500": {status(500), "answered 500", nil}, "401": {status(401), "answered 401", nil}, "204": {status(204), "answered 204", nil},
		"429":            {status(429), "answered 429", nil},
		"a closed line":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", nil},
		"nobody listens": {nil, "refused", func(s *CallbackSettings) { s.URL = "http://127.0.0.1:1/accounts" }},
		"silence":        {hangs, timedOut, soon},
		"half an answer, then silence": {func(w http.ResponseWriter, r *http.Request) {
			says(`{"accounts": [`)(w, r)
			w.(http.Flusher).Flush()
			hangs(w, r)
		}, timedOut, soon},
		"a 404 without end": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswer+1))
		}, "too large", nil},
		"too long":         {says(strings.Repeat(" ", maxAnswer) + `{"accounts": []}`), "too large", nil},
		"HTML":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "did not answer with application/json", nil},
		"JSON that is not": {says(`{"accounts": [}`), "no strict JSON", nil},
		"a list":           {says(`[]`), "not an object", nil},
		"nothing":          {says(`{}`), "accounts is missing", nil},
		"a member more":    {says(`{"accounts": [], "total": 0}`), "total is not known", nil},
		"an account twice": {says(`{"accounts": [{"id": "1", "name": "A"}, {"id": "1", "name": "B"}]}`), "accounts[1].id is the id", nil},
		"one that is wrong": {says(`{"accounts": [{"id": "1", "name": "A"}, {"id": "2", "name": "B", "number": 30004021}]}`),
			"accounts[1].number must be a string", nil},
		"too many": {says(`{"accounts": [` + strings.TrimSuffix(strings.Repeat("1,", MaxAccounts+1), ",") + `]}`), "at most 500 are read", nil},
	} {
		t.Run(name, func(t *testing.T) {
			edits := []func(*CallbackSettings){}
			if c.edit != nil {
				edits = append(edits, c.edit)
			}
			unavailable(t, callback(t, c.answer, edits...), c.want)
		})
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		redirect := callback(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		if unavailable(t, redirect, fmt.Sprintf("answered %d", code)); went.Load() > 0 {
			t.Errorf("%d: who the person is was told elsewhere", code)
		}
	}
	t.Run("somebody who leaves", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := callback(t, hangs).Accounts(ctx, "_kim"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v hides that it was the browser who left", err)
		}
	})
}

// timedOut is what net/http says, depending on where it was.
const timedOut = "Client.Timeout|deadline exceeded"

// unavailable wants the refusal, and this in its cause, or that.
func unavailable(t *testing.T, c *AccountsCallback, cause string) {
	t.Helper()
	accounts, err := c.Accounts(t.Context(), "_kim")
	refusal := refused(t, err, oauth.AccountsUnavailable)
	if accounts != nil || refusal.Status() != 503 || refusal.Code() != oauth.TemporarilyUnavailable || refusal.RetryAfter <= 0 {
		t.Errorf("%v with %d %s after %s", accounts, refusal.Status(), refusal.Code(), refusal.RetryAfter)
	}
	said := refusal.Cause.Error()
	told := func(part string) bool { return strings.Contains(said, part) }
	if !slices.ContainsFunc(strings.Split(cause, "|"), told) || told(bankToken) || told("30004021") || len(said) > 500 ||
		strings.Contains(refusal.Description, said) {
		t.Errorf("the cause is %q, want %q; the public sentence %q", said, cause, refusal.Description)
	}
}

// By mutual TLS both know the other, or nothing is told. The certificate is the one of the moment.
func TestAccountsByMutualTLS(t *testing.T) {
	ours, theirs, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	var told atomic.Int32
	bank := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told.Add(1)
		says(`{"accounts": [{"id": "acc-1", "name": "Everyday"}]}`)(w, r)
	}))
	bank.TLS = &tls.Config{
		Certificates: []tls.Certificate{makeCertificate(t, theirs)}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
	bank.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that must fail
	bank.StartTLS()
	defer bank.Close()
	_, port, _ := strings.Cut(bank.Listener.Addr().String(), ":")
	good, strange := makeCertificate(t, ours), makeCertificate(t, strangers)
	present := func(c *tls.Certificate) func() (*tls.Certificate, error) {
		return func() (*tls.Certificate, error) { return c, nil }
	}
	settings := CallbackSettings{
		URL: "https://localhost:" + port, Certificate: present(&good), Authorities: theirs.pool(), Timeout: time.Minute,
	}
	c := newCallback(t, settings)
	if got, err := c.Accounts(t.Context(), "_kim"); err != nil || len(got) != 1 || told.Load() != 1 {
		t.Fatalf("%v %v", got, err)
	}
	for name, test := range map[string]struct {
		edit func(*CallbackSettings)
		want string
	}{
		"no certificate":         {func(s *CallbackSettings) { s.Certificate, s.Token = nil, bankToken }, "certificate required"},
		"another authority's":    {func(s *CallbackSettings) { s.Certificate = present(&strange) }, "tls:"},
		"one that is gone":       {func(s *CallbackSettings) { s.Certificate = gone }, "no such certificate"},
		"a bank of nobody":       {func(s *CallbackSettings) { s.Authorities = nil }, "unknown authority"},
		"a bank of another one":  {func(s *CallbackSettings) { s.Authorities = strangers.pool() }, "unknown authority"},
		"a bank of another name": {func(s *CallbackSettings) { s.URL = "https://127.0.0.1:" + port }, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings
			test.edit(&s)
			if unavailable(t, newCallback(t, s), test.want); told.Load() != 1 {
				t.Error("who the person is was told all the same")
			}
		})
	}
	later := newCallback(t, settings)
	good = strange // the files have changed before the handshake
	unavailable(t, later, "tls:")
}

func gone() (*tls.Certificate, error) { return nil, errors.New("no such certificate") }

// A question that meets a connection which the system has just closed is asked again, on a new one.
func TestAccountsOverAnEndedConnection(t *testing.T) {
	var questions atomic.Int32
	c := callback(t, func(w http.ResponseWriter, r *http.Request) {
		if questions.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		says(`{"accounts": []}`)(w, r)
	})
	for range 2 {
		if got, err := c.Accounts(t.Context(), "_kim"); err != nil || got == nil {
			t.Errorf("%v %v", got, err)
		}
	}
	if n := questions.Load(); n != 3 {
		t.Errorf("the system was asked %d times", n)
	}
}

// A system that is not told safely who somebody is, or does not know who asks, is none.
func TestAccountsCallbackSettings(t *testing.T) {
	for name, edit := range map[string]func(*CallbackSettings){
		"in clear":      func(s *CallbackSettings) { s.URL = "http://bank.example/accounts" },
		"no host":       func(s *CallbackSettings) { s.URL = "https:///accounts" },
		"a password":    func(s *CallbackSettings) { s.URL = "https://a:b@bank.example" },
		"a query":       func(s *CallbackSettings) { s.URL = "https://bank.example?key=secret" },
		"another way":   func(s *CallbackSettings) { s.URL = "ftp://bank.example" },
		"nobody's":      func(s *CallbackSettings) { s.Token = "" },
		"without limit": func(s *CallbackSettings) { s.Timeout = 0 },
	} {
		s := CallbackSettings{URL: "https://bank.example/accounts", Token: bankToken, Timeout: time.Second}
		if edit(&s); s.URL == "" {
			t.Fatal(name)
		}
		if _, err := NewAccountsCallback(s, folk); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
