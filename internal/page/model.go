package page

import (
	"slices"
	"strings"
	"time"

	"authserver/internal/oauth"
)

// Model is what one page is about.
type Model interface {
	name() string // of the page's template
	problem() Problem
}

// Form is where a form goes, and what it proves of itself.
type Form struct {
	Action      string // path, with the base
	Interaction string // the handle
	Token       string // form_token
}

// Problem is why a page is shown again instead of the next one.
type Problem string

// The problems. Login may have the first three, Accounts the last.
const (
	WrongCredentials Problem = "wrong_credentials"
	TooManyAttempts  Problem = "too_many_attempts"
	TooBusy          Problem = "too_busy"
	NothingChosen    Problem = "nothing_chosen"
)

// Login asks for a username and a password.
type Login struct {
	Form
	Client   string // name of the client that the person came from; "": none
	Username string // what the field holds already
	Problem  Problem
	Wait     time.Duration // with TooManyAttempts: after how long the next attempt may come; 0: not said
}

// Accounts asks which accounts to share. Those of Chosen are ticked.
type Accounts struct {
	Form
	SignOut  Form
	Client   string
	Person   string // what the person is called; "": nobody knows
	Accounts []Account
	Chosen   []string // ids
	Problem  Problem
}

// Account is something of a person's that data can be shared about.
type Account struct {
	ID     string
	Name   string
	Number string // masked
}

// Consent asks for the answer.
type Consent struct {
	Form
	SignOut  Form
	Client   string
	Person   string
	Scopes   []string
	Accounts []Account // empty: the scopes are about no account
	Until    time.Time // of the grant; its date is shown in UTC
}

// Ticked tells whether an account is chosen already.
func (a Accounts) Ticked(id string) bool { return slices.Contains(a.Chosen, id) }

// SignedOut says that nobody is signed in any more.
type SignedOut struct {
	Again string // path on this server to go on with; "": none. Anything else than a path is left out.
}

// Onward is Again where it is a path on this server. Browsers read // and /\\ as the beginning of another host.
func (s SignedOut) Onward() string {
	if !strings.HasPrefix(s.Again, "/") || strings.HasPrefix(s.Again, "//") || strings.Contains(s.Again, `\`) {
		return ""
	}
	return s.Again
}

// Failure says in plain words what went wrong and what to do next.
type Failure struct {
	Reason oauth.Reason
	Status int
	ID     string // x-fapi-interaction-id of the response
}

func (Login) name() string     { return "login" }
func (Accounts) name() string  { return "accounts" }
func (Consent) name() string   { return "consent" }
func (SignedOut) name() string { return "signed-out" }
func (Failure) name() string   { return "failure" }

func (l Login) problem() Problem    { return l.Problem }
func (a Accounts) problem() Problem { return a.Problem }
func (Consent) problem() Problem    { return "" }
func (SignedOut) problem() Problem  { return "" }
func (Failure) problem() Problem    { return "" }
