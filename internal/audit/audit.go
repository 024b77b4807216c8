package audit

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// Event is what happened.
type Event string

// The events.
const (
	ClientRegistered   Event = "client.registered"
	ClientUpdated      Event = "client.updated"
	ClientDeleted      Event = "client.deleted"
	ClientTokenRotated Event = "client.token_rotated" // its registration access token
	TokenIssued        Event = "token.issued"
	TokenRevoked       Event = "token.revoked" // denied: it was another client's
	KeyRotated         Event = "key.rotated"   // the key that signs next was made, or brought forward
	KeyRetired         Event = "key.retired"
	KeyDeleted         Event = "key.deleted"   // its last token was dead
	KeyRewrapped       Event = "key.rewrapped" // sealed anew, under another key-encryption key

	IssuerAdded   Event = "issuer.added" // one whose assertions are grants
	IssuerUpdated Event = "issuer.updated"
	IssuerRemoved Event = "issuer.removed"

	PersonSignedIn        Event = "person.signed_in" // denied: with a wrong password, too often, or not through the upstream
	PersonSignedOut       Event = "person.signed_out"
	PersonAdded           Event = "person.added"
	PersonDisabled        Event = "person.disabled" // and with it every session and grant
	PersonEnabled         Event = "person.enabled"
	PersonPasswordChanged Event = "person.password_changed"
	PersonErased          Event = "person.erased" // and all that was kept: the subject in this trail is nobody's from then on
	GrantApproved         Event = "grant.approved"
	GrantDenied           Event = "grant.denied"
	GrantRevoked          Event = "grant.revoked" // by its client or the operator, or a code was redeemed twice
)

// Events are all events, for whoever counts them.
func Events() []Event {
	return []Event{ClientRegistered, ClientUpdated, ClientDeleted, ClientTokenRotated, TokenIssued, TokenRevoked,
		KeyRotated, KeyRetired, KeyDeleted, KeyRewrapped, IssuerAdded, IssuerUpdated, IssuerRemoved,
		PersonSignedIn, PersonSignedOut, PersonAdded, PersonDisabled, PersonEnabled, PersonPasswordChanged, PersonErased,
		GrantApproved, GrantDenied, GrantRevoked}
}

// Actor is who made it happen.
type Actor string

// The actors.
const (
	Client   Actor = "client" // that proved itself
	Issuer   Actor = "issuer" // by an assertion alone; the client is the one that its record names
	Person   Actor = "person"
	Operator Actor = "operator"
	Server   Actor = "server"
)

// Outcome is how it ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Denied  Outcome = "denied" // it was asked for, and nothing was changed
)

// Record is one line of the trail. What does not apply stays empty and is left out.
type Record struct {
	Time          time.Time `json:"time"`
	Event         Event     `json:"event"`
	Outcome       Outcome   `json:"outcome"` // "": Success
	Actor         Actor     `json:"actor"`
	InteractionID string    `json:"interaction_id,omitempty"` // of the request, as in its response and its log record
	Peer          string    `json:"peer,omitempty"`           // address of the request's client; of IPv6 the /64
	ClientID      string    `json:"client_id,omitempty"`      // that acted, or that was acted on
	Registrar     string    `json:"registrar,omitempty"`      // the client that registered it, where that is another
	Subject       string    `json:"subject,omitempty"`        // the person who acted, was acted on, or for whom a token speaks
	Issuer        string    `json:"issuer,omitempty"`         // that was acted on, or by whose assertion a token speaks for the subject
	GrantID       string    `json:"grant_id,omitempty"`       // what the person approved, from the approval to the last token
	GrantType     string    `json:"grant_type,omitempty"`
	Scope         string    `json:"scope,omitempty"`
	TokenJTI      string    `json:"token_jti,omitempty"`
	KeyID         string    `json:"kid,omitempty"`
}

// Log is where records go. A nil Log keeps none.
type Log struct {
	mu   sync.Mutex
	out  io.Writer
	file *os.File // what Close closes, or nil
	torn bool     // the last record was not written to its end
}

// Open opens the log that the setting audit-log names: stdout, off, or a file, which is made for its owner alone and only
// ever appended to. Several processes may write to one file: a record is one write.
func Open(setting string, stdout io.Writer) (*Log, error) {
	switch setting {
	case "off":
		return nil, nil
	case "stdout":
		return &Log{out: stdout}, nil
	}
	f, err := os.OpenFile(setting, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Log{out: f, file: f}, nil
}

// Write appends one record. The caller reports an error, and goes on.
func (l *Log) Write(r Record) error {
	if l == nil {
		return nil
	}
	if r.Outcome == "" {
		r.Outcome = Success
	}
	r.Time = r.Time.UTC()
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn { // half a record must not swallow this one
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.out.Write(line)
	l.torn = err != nil && (n > 0 || l.torn)
	return err
}

// Close closes a log that is a file.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}
