package person

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"authserver/internal/oauth"
)

// CallbackSettings say where the bank's own system is, and who we are to it.
type CallbackSettings struct {
	URL         string                           // https, or http on a loopback host, without a query
	Token       oauth.Secret                     // sent as a bearer token; this, Certificate, or both
	Certificate func() (*tls.Certificate, error) // for mutual TLS, asked at each handshake; nil: none
	Authorities *x509.CertPool                   // that the system's own certificate must come from; nil: the machine's
	Timeout     time.Duration                    // of one question, from the dialling to the last byte
}

// AccountsCallback asks the bank's own system which accounts a person has. docs/accounts.md is the contract.
type AccountsCallback struct {
	settings CallbackSettings
	people   People
	http     *http.Client
}

// NewAccountsCallback makes the callback. It does not contact the system.
func NewAccountsCallback(s CallbackSettings, people People) (*AccountsCallback, error) {
	switch {
	case !isSafe(s.URL, true) || strings.Contains(s.URL, "?"):
		return nil, errors.New("the URL of the accounts must be https, without a query")
	case s.Token == "" && s.Certificate == nil:
		return nil, errors.New("the callback for accounts needs a token or a certificate")
	case s.Timeout <= 0:
		return nil, errors.New("the callback for accounts needs a time-out")
	}
	security := &tls.Config{RootCAs: s.Authorities}
	if s.Certificate != nil {
		security.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.Certificate() }
	}
	return &AccountsCallback{settings: s, people: people, http: newBackChannel(s.Timeout, security)}, nil
}

// Accounts are those of a person; nobody's are none. AccountsUnavailable, with its cause in the log alone, is a system that
// does not answer, or not as it must.
func (c *AccountsCallback) Accounts(ctx context.Context, subject string) ([]Account, error) {
	p, found, err := c.people.FindSubject(ctx, subject)
	if err != nil || !found {
		return nil, err
	}
	accounts, _, err := c.Ask(ctx, p)
	return accounts, err
}

// Ask asks about a person; known is false for one of whom the system has never heard.
func (c *AccountsCallback) Ask(ctx context.Context, p Person) (accounts []Account, known bool, err error) {
	accounts, known, err = c.ask(ctx, p)
	if err != nil {
		refusal := oauth.Refuse(oauth.AccountsUnavailable, "the person's accounts cannot be read just now, try again shortly").
			Because(brief{err})
		refusal.RetryAfter = c.settings.Timeout
		return nil, false, refusal
	}
	return accounts, known, nil
}

// question is the body of a request: who the person is to us, and to whoever signs people in.
type question struct {
	Subject  string   `json:"subject"`
	Username string   `json:"username,omitempty"`
	Upstream identity `json:"upstream,omitzero"`
}

// identity is an Identity on the wire.
type identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

func (c *AccountsCallback) ask(ctx context.Context, p Person) (accounts []Account, known bool, err error) {
	body, err := json.Marshal(question{p.Subject, p.Username, identity(p.Upstream)})
	if err != nil {
		return nil, false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.settings.URL, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "authserver")
	// A question changes nothing. One that meets a connection which has just ended goes out again; the empty header, which
	// is not sent, says so.
	request.Header["Idempotency-Key"] = []string{}
	if c.settings.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.settings.Token.Reveal())
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, false, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); {
	case err != nil:
		return nil, false, err
	case response.StatusCode == http.StatusNotFound:
		return nil, false, nil
	case response.StatusCode != http.StatusOK:
		return nil, false, fmt.Errorf("the bank's system answered %d, expected 200 or 404", response.StatusCode)
	case mediaType != "application/json":
		return nil, false, errors.New("the bank's system did not answer with application/json")
	}
	r := &reading{}
	if o, ok := r.document(text, "accounts"); ok {
		accounts = r.accounts(o, "")
	}
	return accounts, true, r.err()
}
