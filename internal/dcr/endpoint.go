package dcr

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/resource"
)

// Gate is who may register.
type Gate string

// The gates of AUTHSERVER_REGISTRATION.
const (
	Open   Gate = "open"   // anybody
	Token  Gate = "token"  // holders of the initial access token, and registrars
	Closed Gate = "closed" // nobody: the operator registers by hand
)

// Scopes of tokens that reach the registration endpoints.
const (
	scopeCreate = "client.create"
	scopeRead   = "client.read"
)

// Store keeps the registered clients.
type Store interface {
	FindClient(ctx context.Context, id string) (c client.Client, found bool, err error)
	AddClient(ctx context.Context, c client.Client) (added bool, err error)
	// UpdateClient and DeleteClient do nothing when presented is not, or no longer, the hash of the client's registration
	// access token; nil asks for none.
	UpdateClient(ctx context.Context, id string, presented []byte, m client.Metadata, now time.Time) (version int64, updated bool, err error)
	DeleteClient(ctx context.Context, id string, presented []byte, now time.Time) (deleted bool, err error)
}

// Endpoint is /fdx/v6/register and below.
type Endpoint struct {
	URL                string // of the registration endpoint itself
	Gate               Gate
	InitialAccessToken oauth.Secret // "": there is none
	Rules              Rules
	Guard              resource.Guard
	Attempts           oauth.Limit // of registrations from one address
	Store              Store
	Now                func() time.Time
}

// record is a registration as it is answered (RFC 7591 §3.2.1, RFC 7592 §3); status is FDX's.
type record struct {
	ClientID                string `json:"client_id"`
	ClientIDIssuedAt        int64  `json:"client_id_issued_at"`
	RegistrationClientURI   string `json:"registration_client_uri"`
	RegistrationAccessToken string `json:"registration_access_token,omitempty"`
	Status                  string `json:"status"`
}

// Register stores a new client.
func (e *Endpoint) Register(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	if err := oauth.Limited(e.Attempts, oauth.Peer(r)); err != nil {
		return err
	}
	admission, err := e.verifyGate(r, now)
	if err != nil {
		return err
	}
	body, err := oauth.ReadJSON(r)
	if err != nil {
		return err
	}
	metadata, err := e.Rules.Read(body)
	if err != nil {
		return err
	}
	if err := e.passRegistrar(w, r, admission); err != nil {
		return err
	}
	token := oauth.NewSecret()
	c := client.Client{
		ID:                    oauth.NewID(),
		IssuedAt:              now,
		Metadata:              metadata,
		RegistrationTokenHash: token.Hash(),
	}
	added, err := e.Store.AddClient(r.Context(), c)
	if err != nil {
		return err
	}
	if !added {
		return errors.New("a new client_id was taken already")
	}
	oauth.Note(w, oauth.FieldClient, c.ID)
	oauth.Note(w, oauth.FieldEvent, audit.ClientRegistered)
	return e.answer(w, http.StatusCreated, c, token.Reveal())
}

// Read answers with the effective record.
func (e *Endpoint) Read(w http.ResponseWriter, r *http.Request, clientID string) error {
	m, err := e.verifyManager(r, clientID)
	if err != nil {
		return err
	}
	if err := e.spend(r.Context(), m); err != nil {
		return err
	}
	c, err := e.managed(w, r, m)
	if err != nil {
		return err
	}
	return e.answer(w, http.StatusOK, c, m.token.Reveal())
}

// Update replaces the record (RFC 7592 §2.2).
func (e *Endpoint) Update(w http.ResponseWriter, r *http.Request, clientID string) error {
	m, err := e.verifyManager(r, clientID)
	if err != nil {
		return err
	}
	if m.admission == nil { // a stranger's body is not read
		if _, err := e.managed(w, r, m); err != nil {
			return err
		}
	}
	body, err := oauth.ReadJSON(r)
	if err != nil {
		return err
	}
	metadata, err := e.Rules.ReadUpdate(body, clientID)
	if err != nil {
		return err
	}
	if err := e.spend(r.Context(), m); err != nil {
		return err
	}
	c, err := e.managed(w, r, m)
	if err != nil {
		return err
	}
	c.Metadata = metadata
	_, updated, err := e.Store.UpdateClient(r.Context(), clientID, m.presented(), metadata, e.Now())
	if err != nil {
		return err
	}
	if !updated {
		return wrongToken() // it was deleted meanwhile, or has another token
	}
	oauth.Note(w, oauth.FieldEvent, audit.ClientUpdated)
	return e.answer(w, http.StatusOK, c, m.token.Reveal())
}

// Delete ends the client (RFC 7592 §2.3).
func (e *Endpoint) Delete(w http.ResponseWriter, r *http.Request, clientID string) error {
	m, err := e.verifyManager(r, clientID)
	if err != nil {
		return err
	}
	if err := e.spend(r.Context(), m); err != nil {
		return err
	}
	if _, err := e.managed(w, r, m); err != nil {
		return err
	}
	deleted, err := e.Store.DeleteClient(r.Context(), clientID, m.presented(), e.Now())
	if err != nil {
		return err
	}
	if !deleted {
		return wrongToken()
	}
	oauth.Note(w, oauth.FieldEvent, audit.ClientDeleted)
	oauth.NoStore(w)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (e *Endpoint) answer(w http.ResponseWriter, status int, c client.Client, token string) error {
	whole, err := c.Metadata.JoinedTo(record{
		ClientID:                c.ID,
		ClientIDIssuedAt:        c.IssuedAt.Unix(),
		RegistrationClientURI:   e.URL + "/" + c.ID,
		RegistrationAccessToken: token,
		Status:                  "Approved",
	})
	if err != nil {
		return err
	}
	oauth.WriteJSON(w, status, whole)
	return nil
}

// verifyGate is the gate of POST. Whoever sends a credential is judged by it, whatever the gate. A registrar's admission
// is still to be spent; the others have none.
func (e *Endpoint) verifyGate(r *http.Request, now time.Time) (*resource.Admission, error) {
	if e.Gate == Closed {
		return nil, oauth.Refuse(oauth.RegistrationClosed, "this server registers no clients over the network")
	}
	if len(r.Header.Values("Authorization")) == 0 {
		if e.Gate == Open {
			return nil, nil
		}
		return nil, oauth.Refuse(oauth.TokenMissing, "registration needs the operator's initial access token").Challenged("Bearer")
	}
	if token, ok := bearer(r); ok {
		if e.InitialAccessToken != "" && subtle.ConstantTimeCompare(token.Hash(), e.InitialAccessToken.Hash()) == 1 {
			return nil, nil
		}
		if !e.mayBeAccess(token) {
			return nil, wrongToken()
		}
	}
	admission, err := e.Guard.Verify(r, now, scopeCreate)
	if err != nil {
		return nil, err
	}
	return &admission, nil
}

// passRegistrar spends a registrar's admission, and asks whether the operator has made its client one.
func (e *Endpoint) passRegistrar(w http.ResponseWriter, r *http.Request, admission *resource.Admission) error {
	if admission == nil {
		return nil
	}
	if err := e.Guard.Spend(r.Context(), *admission); err != nil {
		return err
	}
	c, found, err := e.Store.FindClient(r.Context(), admission.Token.ClientID)
	if err != nil {
		return err
	}
	if !found || !c.Registrar {
		refusal := oauth.Refuse(oauth.NotARegistrar, "the operator has not made this client a registrar")
		return e.Guard.Challenged(refusal, scopeCreate)
	}
	oauth.Note(w, oauth.FieldRegistrar, c.ID)
	return nil
}

// manager is who wants to manage a registration: the holder of its registration access token, or the client itself with
// an access token of its own, whose proof is still to be spent.
type manager struct {
	clientID  string
	token     oauth.Secret // presented as registration access token: only its hash is kept, so this alone can echo it (RFC 7592 §3)
	admission *resource.Admission
}

// presented is the hash of the registration access token that must still be the client's when it is changed; nil for the
// client itself.
func (m manager) presented() []byte {
	if m.admission != nil {
		return nil
	}
	return m.token.Hash()
}

// verifyManager tells from the request alone who wants to manage the registration.
func (e *Endpoint) verifyManager(r *http.Request, clientID string) (manager, error) {
	m := manager{clientID: clientID}
	if len(r.Header.Values("Authorization")) == 0 {
		return m, oauth.Refuse(oauth.TokenMissing, "the registration access token is needed").Challenged("Bearer")
	}
	if token, ok := bearer(r); ok && !e.mayBeAccess(token) {
		m.token = token
		return m, nil
	}
	own, err := e.Guard.Verify(r, e.Now(), scopeRead, scopeCreate)
	if err != nil {
		return m, err
	}
	if own.Token.ClientID != clientID || own.Token.Subject != clientID {
		return m, wrongToken()
	}
	m.admission = &own
	return m, nil
}

// spend uses up what the manager's request bears.
func (e *Endpoint) spend(ctx context.Context, m manager) error {
	if m.admission == nil {
		return nil
	}
	return e.Guard.Spend(ctx, *m.admission)
}

// managed is the client's record as it is now, if m may manage it.
func (e *Endpoint) managed(w http.ResponseWriter, r *http.Request, m manager) (client.Client, error) {
	c, found, err := e.Store.FindClient(r.Context(), m.clientID)
	switch {
	case err != nil:
		return client.Client{}, err
	case m.admission == nil && subtle.ConstantTimeCompare(m.token.Hash(), c.RegistrationTokenHash) != 1, !found:
		return client.Client{}, wrongToken()
	}
	oauth.Note(w, oauth.FieldClient, c.ID)
	return c, nil
}

// wrongToken is the one answer for a wrong token and for a client that does not exist.
func wrongToken() error {
	return oauth.Refuse(oauth.RegistrationToken, "the token does not open this registration").Challenged("Bearer")
}

// mayBeAccess tells whether a Bearer token may be an access token that is bound to a certificate: those are JWTs, and the
// registration access tokens of this server have no dots.
func (e *Endpoint) mayBeAccess(token oauth.Secret) bool {
	return e.Guard.MutualTLS && strings.Count(token.Reveal(), ".") == 2
}

// bearer is the token of a Bearer credential, if that is the one credential of the request.
func bearer(r *http.Request) (oauth.Secret, bool) {
	fields := r.Header.Values("Authorization")
	if len(fields) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false // another scheme's token must not be echoed as a registration access token
	}
	return oauth.Secret(strings.TrimLeft(token, " ")), true
}
