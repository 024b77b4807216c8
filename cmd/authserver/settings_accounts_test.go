package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"
)

// accountsOf are the settings of the bank's own system.
func (s *accountsSettings) accountsOf(url, token string) {
	s.AccountsURL, s.AccountsToken = url, oauth.Secret(token)
}

// Accounts come from one place at most, which is safe to ask and knows who asks, and belong to people who sign in.
func TestAccountsSettings(t *testing.T) {
	const bank = "https://accounts.bank.example/people"
	good := writeText(t, "accounts.json", `{"people": [{"username": "kim", "accounts": []}]}`)
	dir := t.TempDir()
	authority := newAuthority(t)
	ca, cert, key := authority.writeFile(t), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, authority.issue(t, "ECDSA", "localhost"), cert, key)
	for name, test := range map[string]struct {
		edit func(*settings)
		dev  bool
		want string // the only problem, or ""
	}{
		"nothing":             {func(*settings) {}, false, ""},
		"a file":              {func(s *settings) { s.AccountsFile = good }, false, ""},
		"a file in dev":       {func(s *settings) { s.AccountsFile = good }, true, ""},
		"a token":             {func(s *settings) { s.accountsOf(bank, "abc/-._~+==") }, false, ""},
		"an authority":        {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsCAFile = ca }, false, ""},
		"a certificate":       {func(s *settings) { s.AccountsURL, s.AccountsCertFile, s.AccountsKeyFile = bank, cert, key }, false, ""},
		"both":                {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsCertFile, s.AccountsKeyFile = cert, key }, false, ""},
		"this machine in dev": {func(s *settings) { s.accountsOf("http://127.0.0.1:9/accounts", "x") }, true, ""},
		"patience":            {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsTimeout = "8s" }, false, ""},

		"a file and a URL":            {func(s *settings) { s.AccountsFile = good; s.accountsOf(bank, "x") }, false, "accounts-file and accounts-url, accounts-token: accounts come from a file or"},
		"a file and a token":          {func(s *settings) { s.AccountsFile, s.AccountsToken = good, "x" }, false, "accounts-file and accounts-token: accounts come"},
		"a token for nobody":          {func(s *settings) { s.AccountsToken = "x" }, false, "accounts-token: only with accounts-url"},
		"an authority of nobody":      {func(s *settings) { s.AccountsCAFile = ca }, false, "accounts-ca-file: only with accounts-url"},
		"a certificate for nobody":    {func(s *settings) { s.AccountsCertFile, s.AccountsKeyFile = cert, key }, false, "accounts-cert-file, accounts-key-file: only with accounts-url"},
		"a file, and nobody signs in": {func(s *settings) { s.AccountsFile, s.Login = good, "off" }, false, "accounts-file: only for people who sign in; login is off"},
		"a URL, and nobody signs in":  {func(s *settings) { s.accountsOf(bank, "x"); s.Login = "off" }, true, "accounts-url, accounts-token: only for people who sign in"},
		"nobody who asks":             {func(s *settings) { s.AccountsURL = bank }, false, "accounts-url needs accounts-token, or accounts-cert-file"},
		"half a pair":                 {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsCertFile = cert }, false, "accounts-cert-file and accounts-key-file must be set together"},
		"no pair":                     {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsCertFile, s.AccountsKeyFile = cert, cert }, false, "accounts-cert-file, accounts-key-file: "},
		"no authority":                {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsCAFile = good }, false, "accounts-ca-file: " + good + " holds no PEM certificate"},
		"in clear":                    {func(s *settings) { s.accountsOf("http://127.0.0.1:9/accounts", "x") }, false, "accounts-url must be https"},
		"in clear, elsewhere":         {func(s *settings) { s.accountsOf("http://accounts.bank.example", "x") }, true, "accounts-url must be https"},
		"in clear, with certificates": {func(s *settings) { s.accountsOf("http://127.0.0.1:9/", "x"); s.AccountsCAFile = ca }, true, "accounts-url is http, which knows no certificates"},
		"a query":                     {func(s *settings) { s.accountsOf(bank+"?key=canary", "x") }, false, "accounts-url must not have a query"},
		"a fragment":                  {func(s *settings) { s.accountsOf(bank+"#x", "x") }, false, "accounts-url must not have a query"},
		"a password":                  {func(s *settings) { s.accountsOf("https://kim:canary@bank.example", "x") }, false, "accounts-url must be an absolute URL without a user"},
		"no URL":                      {func(s *settings) { s.accountsOf("accounts.bank.example", "x") }, false, "accounts-url must be an absolute URL"},
		"a token of two lines":        {func(s *settings) { s.accountsOf(bank, "canary\nX: y") }, false, "accounts-token has characters that no bearer token has"},
		"no patience":                 {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsTimeout = "99ms" }, false, "accounts-timeout must be a duration from 100ms to 8s"},
		"too much patience":           {func(s *settings) { s.accountsOf(bank, "x"); s.AccountsTimeout = "8001ms" }, false, "accounts-timeout must be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := understood(func(s *settings) { s.Login = "builtin"; test.edit(s) }, test.dev)
			got := strings.Join(problems, "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) || len(problems) > 1 || strings.Contains(got, "canary") {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	c, problems := understood(func(s *settings) { s.Login = "builtin"; s.accountsOf(bank, "x") }, false)
	if got := c.accounts.callback; len(problems) > 0 || got.URL != bank || got.Token != "x" || got.Timeout != 3*time.Second || c.accounts.none() {
		t.Errorf("%v %+v", problems, c.accounts)
	}
	if c, _ := understood(func(*settings) {}, true); !c.accounts.none() {
		t.Errorf("%+v", c.accounts)
	}
}

// All that is wrong with the file is told with what is wrong with the other settings, and the token is told nowhere.
func TestAccountsFileAmongTheProblems(t *testing.T) {
	path := writeText(t, "accounts.json", `{"people": [{"accounts": [{"id": "1", "number": 30004021}]}, {"username": "KIM", "accounts": {}}]}`)
	got := wrongDev(t, []string{"AUTHSERVER_ACCOUNTS_FILE=" + path, "AUTHSERVER_LOGIN_LIMIT=-1"})
	for _, want := range []string{
		"the configuration has 6 problems", "login-limit must be", "accounts-file: people[0] must have either", "accounts-file: people[0].accounts[0].name is missing",
		"accounts-file: people[0].accounts[0].number must be a string", "accounts-file: people[1].username is none", "accounts-file: people[1].accounts must be an array",
	} {
		if !strings.Contains(got, want) || strings.Contains(got, "4021") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := wrongDev(t, []string{"AUTHSERVER_ACCOUNTS_FILE=" + path + ".absent"}); !strings.Contains(got, "accounts-file: stat "+path+".absent: no such file") {
		t.Errorf("%s", got)
	}
	token := writeText(t, "token", "canary-of-the-accounts\n")
	_, stdout, stderr := program(t, []string{"AUTHSERVER_ACCOUNTS_URL=https://bank.example", "AUTHSERVER_ACCOUNTS_TOKEN_FILE=" + token}, "config", "print")
	if strings.Contains(stdout+stderr, "canary") || !strings.Contains(stdout, "accounts-token") || !strings.Contains(stdout, token) {
		t.Errorf("%s%s", stdout, stderr)
	}
}

// The example of docs/accounts.md is a file that can be read.
func TestDocumentedAccountsFile(t *testing.T) {
	text, err := os.ReadFile("../../docs/accounts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	u := &understanding{}
	if u.accountsFile(writeText(t, "accounts.json", example)); len(u.problems) > 0 || !strings.Contains(example, "people") {
		t.Errorf("%q in\n%s", u.problems, example)
	}
}
