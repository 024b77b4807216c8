package page

import (
	"html/template"
	"net/url"
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
	Interaction string // the handle; "": the form belongs to none
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
	Own      bool   // the person came of their own accord, to the page of connected apps
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
	Name   string // "": nobody knows just now
	Number string // masked
}

// Consent asks for the answer.
type Consent struct {
	Form
	SignOut        Form
	Client         Party
	Intermediaries []Party // that the client gets the data through
	Person         string
	Clusters       []string  // data clusters of FDX
	Overall        []string  // those that tell of all accounts there are, whichever were chosen
	Scopes         []string  // all of them; those of which a cluster says it already are not shown
	Accounts       []Account // empty: the clusters are about no account
	Once           bool      // the grant ends with its first access token, right after the answer
	Until          time.Time // end of a grant that is not for once; its date is shown in UTC
	LookBack       int       // days back from each request for data; 0: as far as the data goes
	Connected      string    // URL of the page of connected apps
}

// Party is who asks for data, or handles it on the way. All of it is what the party says of itself.
type Party struct {
	Name     string
	Logo     string // path of a picture on this server; "": none. Anything else than a path is left out.
	Site     string // its home page, which is shown and no link; "": none
	Entities []Entity
}

// Entity is a legal person in a registry.
type Entity struct {
	Name     string
	Registry string // FDX, GLEIF, ICANN or PRIVATE
	ID       string // of the entity in the registry
}

// Connected is the page of connected apps: what a person shares, and one button for each that stops it.
type Connected struct {
	SignOut Form
	Person  string
	Stopped string    // name of the app whose sharing has just been stopped; "": none
	Active  []Sharing // newest first
	Ended   []Sharing // that are over, newest first
	More    bool      // there are older ones than the page shows
}

// Sharing is one consent as its person looks at it.
type Sharing struct {
	Stop           Form   // not of one that is over
	ID             string // goes with Stop, in the field consent
	Client         Party
	Intermediaries []Party
	Clusters       []string
	Overall        []string
	Scopes         []string
	Accounts       []Account
	Once           bool
	LookBack       int // days
	Since          time.Time
	Until          time.Time // when it will end, or when it did
	Used           time.Time // when the app last got data, or leave to get it; zero: never
	Ending         Ending    // "": it is active
	History        []Entry   // oldest first
}

// Ending is how a sharing came to its end.
type Ending string

// The endings.
const (
	Expired       Ending = "expired"
	StoppedByYou  Ending = "stopped_by_you"
	StoppedByApp  Ending = "stopped_by_app"
	StoppedByBank Ending = "stopped_by_bank"
	AppGone       Ending = "app_gone" // the app is no longer registered
)

// Entry is one line of the history of a sharing.
type Entry struct {
	At        time.Time
	What      Happening
	Reference string // x-fapi-interaction-id of the request that did it; "": there was none
}

// Happening is what became of a sharing: one of these, or an Ending.
type Happening string

// The happenings that end nothing.
const (
	Given   Happening = "given"   // the person said yes
	Fetched Happening = "fetched" // the app collected what it may use from now on
)

// Ticked tells whether an account is chosen already.
func (a Accounts) Ticked(id string) bool { return slices.Contains(a.Chosen, id) }

// Answer takes what a client is told to its redirect URI, by a form that sends itself (JARM §2.3.3). Where scripts are
// switched off the person presses its button.
type Answer struct {
	Client   string
	Target   string // the redirect URI, of http or https
	Response string // a JWT
}

// Logout asks whoever is signed in whether to sign out. What an app wants then goes along in the form.
type Logout struct {
	Form
	Over        bool // nobody is signed in: all that is left is to go back to the app
	Person      string
	Another     bool   // the app means another session than this one
	Client      string // name of the app that sent the person here; "": none that is known
	ClientID    string
	RedirectURI string // where the browser goes afterwards; "": nowhere
	State       string
}

// SignedOut says that nobody is signed in any more.
type SignedOut struct {
	Again string // path on this server to go on with; "": none. Anything else than a path is left out.
}

// Action is the form's attribute of that name. It is written here, since html/template writes some characters of a URI in
// another way, and a client's server may know only the way in which it registered them.
func (a Answer) Action() template.HTMLAttr {
	if !strings.HasPrefix(a.Target, "https://") && !strings.HasPrefix(a.Target, "http://") {
		return `action=""`
	}
	return template.HTMLAttr(`action="` + template.HTMLEscapeString(a.Target) + `"`)
}

// origin is what the policy says of Target: the one place that the answer may go to. It has no words for some hosts (a literal
// IPv6 address, an underscore), of which it names the scheme.
func (a Answer) origin() string {
	u, err := url.Parse(a.Target)
	switch {
	case err != nil:
		return ""
	case origins.MatchString(u.Scheme + "://" + u.Host):
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}

// Onward is Again where it is a path on this server.
func (s SignedOut) Onward() string { return pathHere(s.Again) }

// Picture is Logo where it is a path on this server.
func (p Party) Picture() string { return pathHere(p.Logo) }

// Logout is SignOut where it is a path on this server.
func (f Failure) Logout() string { return pathHere(f.SignOut) }

// pathHere is a path on this server as it is, and "" for all else. Browsers read // and /\\ as the beginning of another
// host.
func pathHere(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) {
		return ""
	}
	return path
}

// Failure says in plain words what went wrong and what to do next.
type Failure struct {
	Reason oauth.Reason
	Detail string // for the developer, in English: what of the request is not in order; "": the reason says it
	Status int
	ID     string // x-fapi-interaction-id of the response

	// SignOut is set where an app's request to sign the person out is refused: the path on this server where that can be
	// done all the same. Anything else than a path is left out.
	SignOut string
}

func (Login) name() string     { return "login" }
func (Accounts) name() string  { return "accounts" }
func (Consent) name() string   { return "consent" }
func (Connected) name() string { return "connected" }
func (Answer) name() string    { return "answer" }
func (Logout) name() string    { return "logout" }
func (SignedOut) name() string { return "signed-out" }
func (Failure) name() string   { return "failure" }

func (l Login) problem() Problem    { return l.Problem }
func (a Accounts) problem() Problem { return a.Problem }
func (Consent) problem() Problem    { return "" }
func (Connected) problem() Problem  { return "" }
func (Answer) problem() Problem     { return "" }
func (Logout) problem() Problem     { return "" }
func (SignedOut) problem() Problem  { return "" }
func (Failure) problem() Problem    { return "" }
