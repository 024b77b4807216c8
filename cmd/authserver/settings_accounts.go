package main

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/person"
)

// accountsSettings are where the accounts come from that people can share data about.
type accountsSettings struct {
	AccountsFile     string       `placeholder:"FILE" help:"JSON file of people and their accounts; read again when it changes. This, or:"`
	AccountsURL      string       `name:"accounts-url" placeholder:"URL" help:"The bank's own system, which is asked for a person's accounts."`
	AccountsToken    oauth.Secret `placeholder:"TOKEN" help:"Authenticates this server there, as a bearer token."`
	AccountsCertFile string       `placeholder:"FILE" help:"PEM certificate chain that does (mutual TLS); read again when it changes."`
	AccountsKeyFile  string       `placeholder:"FILE" help:"PEM private key of that certificate."`
	AccountsCAFile   string       `name:"accounts-ca-file" placeholder:"FILE" help:"PEM certificates trusted for that system, instead of the machine's."`
	AccountsTimeout  string       `placeholder:"DURATION" help:"How long its answer may take, 100ms to 8s."`
}

// The bounds of accounts-timeout. A page may ask the login service too, and twice for accounts; it has 30 s for its answer.
const (
	minAccountsTimeout = 100 * time.Millisecond
	maxAccountsTimeout = 8 * time.Second
)

// accountsSource is where accounts come from: a file, the bank's own system, or nowhere.
type accountsSource struct {
	file              string
	callback          person.CallbackSettings // without a URL: there is none
	certFile, keyFile string                  // of the callback
}

// none tells whether accounts come from nowhere.
func (s accountsSource) none() bool { return s.file == "" && s.callback.URL == "" }

// fillInAccounts sets what dev and serve have in common.
func (s *accountsSettings) fillInAccounts() { s.AccountsTimeout = or(s.AccountsTimeout, "3s") }

// named are those settings of the callback that are set.
func (s *accountsSettings) named() []string {
	var names []string
	for _, set := range []struct{ name, value string }{
		{"accounts-url", s.AccountsURL}, {"accounts-token", s.AccountsToken.Reveal()}, {"accounts-cert-file", s.AccountsCertFile},
		{"accounts-key-file", s.AccountsKeyFile}, {"accounts-ca-file", s.AccountsCAFile},
	} {
		if set.value != "" {
			names = append(names, set.name)
		}
	}
	return names
}

// accounts wants one source at most, and one that can be asked.
func (u *understanding) accounts(s accountsSettings, login string, loopback bool) accountsSource {
	source, named := accountsSource{file: s.AccountsFile, certFile: s.AccountsCertFile, keyFile: s.AccountsKeyFile}, s.named()
	source.callback = person.CallbackSettings{
		URL: s.AccountsURL, Token: s.AccountsToken,
		Authorities: u.authorities("accounts-ca-file", s.AccountsCAFile, x509.NewCertPool()),
		Timeout:     u.duration("accounts-timeout", s.AccountsTimeout, minAccountsTimeout, maxAccountsTimeout),
	}
	u.certificate("accounts", s.AccountsCertFile, s.AccountsKeyFile)
	u.accountsFile(s.AccountsFile)
	switch {
	case s.AccountsFile == "" && len(named) == 0:
	case login == loginOff:
		u.problem("%s: only for people who sign in; login is off", strings.Join(append(s.ofFile(), named...), ", "))
	case s.AccountsFile != "" && len(named) > 0:
		u.problem("accounts-file and %s: accounts come from a file or from the bank's own system", strings.Join(named, ", "))
	case s.AccountsFile != "":
	case s.AccountsURL == "":
		u.problem("%s: only with accounts-url", strings.Join(named, ", "))
	default:
		u.accountsURL(s, loopback)
	}
	return source
}

func (s *accountsSettings) ofFile() []string {
	if s.AccountsFile == "" {
		return nil
	}
	return []string{"accounts-file"}
}

// accountsFile reads the file once, for all its problems to be told with those of the other settings.
func (u *understanding) accountsFile(path string) {
	if path == "" {
		return
	}
	_, err := person.NewAccountsFile(path, nil, nil)
	problems, wrong := errors.AsType[person.Problems](err)
	switch {
	case wrong:
		for _, problem := range problems {
			u.problem("accounts-file: %s", problem)
		}
	case err != nil:
		u.problem("accounts-file: %v", err)
	}
}

// bearerTokens are what a bearer token looks like (RFC 6750 §2.1).
var bearerTokens = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// accountsURL wants a place where it is safe to tell who a person is, and a proof of who asks.
func (u *understanding) accountsURL(s accountsSettings, loopback bool) {
	parsed, err := url.Parse(s.AccountsURL)
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.User != nil:
		u.problem("accounts-url must be an absolute URL without a user")
	case strings.ContainsAny(s.AccountsURL, "?#"):
		u.problem("accounts-url must not have a query or a fragment")
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !loopback || !isLoopbackHost(parsed.Hostname())):
		u.problem("accounts-url must be https (http only in dev, on this machine); it is %q", s.AccountsURL)
	case parsed.Scheme == "http" && s.AccountsCertFile+s.AccountsKeyFile+s.AccountsCAFile != "":
		u.problem("accounts-url is http, which knows no certificates")
	}
	if s.AccountsToken == "" && s.AccountsCertFile == "" {
		u.problem("accounts-url needs accounts-token, or accounts-cert-file and accounts-key-file, or all three")
	}
	if s.AccountsToken != "" && !bearerTokens.MatchString(s.AccountsToken.Reveal()) {
		u.problem("accounts-token has characters that no bearer token has (RFC 6750, 2.1)")
	}
}

// openCallback makes the callback, whose certificate is read again when its file changes.
func (s accountsSource) openCallback(
	people person.People, log *slog.Logger, now func() time.Time,
) (*person.AccountsCallback, error) {
	if s.certFile != "" {
		s.callback.Certificate = newKeyPair(s.certFile, s.keyFile, log, now).get
	}
	return person.NewAccountsCallback(s.callback, people)
}
