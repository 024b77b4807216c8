package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// Store keeps the records of trusted issuers.
type Store interface {
	// FindIssuer finds an issuer that is trusted now. The name may be any text of a stranger.
	FindIssuer(ctx context.Context, name string) (i Issuer, found bool, err error)
	// TrustsIssuers tells whether any issuer is trusted now.
	TrustsIssuers(ctx context.Context) (bool, error)
	// NamesClient tells whether one of the names is the id of a client, or was that of a deleted one.
	NamesClient(ctx context.Context, names ...string) (bool, error)
}

// Assertions are those of the trusted issuers.
type Assertions struct {
	Audiences []string // what aud may name where the record of an issuer does not say: this server's issuer and token endpoints
	Store     Store
	KeySets   *client.KeySets

	offered atomic.Bool
}

// Assertion is what a proven issuer says, and the use of it that is still to be spent.
type Assertion struct {
	Issuer  Issuer
	Subject string // for whom the issuer speaks: no person of ours, and no client
	Use     replay.Use
}

// Refresh asks whether any issuer is trusted, for Offered.
func (a *Assertions) Refresh(ctx context.Context) error {
	offered, err := a.Store.TrustsIssuers(ctx)
	if err == nil {
		a.offered.Store(offered)
	}
	return err
}

// Offered tells whether the last Refresh found a trusted issuer, for the metadata.
func (a *Assertions) Offered() bool { return a.offered.Load() }

// Offers tells whether an assertion may be a grant here at all. What was not offered is asked for again, so that the first
// issuer is good from its commit.
func (a *Assertions) Offers(ctx context.Context) (bool, error) {
	if a.Offered() {
		return true, nil
	}
	err := a.Refresh(ctx)
	return a.Offered(), err
}

// Verify returns what an assertion says, if a trusted issuer made it for this server now. It changes nothing: the caller
// spends the Use.
func (a *Assertions) Verify(ctx context.Context, compact string, now time.Time) (Assertion, error) {
	token, err := parse(compact)
	if err != nil {
		return Assertion{}, err
	}
	says, err := read(token.Unverified(), now)
	if err != nil {
		return Assertion{}, err
	}
	i, err := a.prove(ctx, token, says.issuer, now)
	if err != nil {
		return Assertion{}, err
	}
	if err := a.judge(ctx, i, says, now); err != nil {
		return Assertion{}, err
	}
	return Assertion{Issuer: i, Subject: says.subject, Use: use(token, says)}, nil
}

// prove finds the issuer and verifies the assertion with its keys. The answer depends on our records, so every failure is
// the same refusal after the same work: one signature check, with a decoy where there is no key.
func (a *Assertions) prove(ctx context.Context, token *jose.JWS, name string, now time.Time) (Issuer, error) {
	i, found, err := a.Store.FindIssuer(ctx, name)
	if err != nil {
		return Issuer{}, err
	}
	var from client.KeySource
	why := errors.New("not trusted")
	if found {
		why = fmt.Errorf("its record does not name %s", token.Header().Alg)
		if slices.Contains(i.Algs, token.Header().Alg) {
			from, why = i.KeySource(), nil
		}
	}
	if _, err := a.KeySets.Verify(ctx, from, token, "", now); why == nil {
		why = err
	}
	if why != nil {
		return Issuer{}, oauth.Refuse(oauth.AssertionGrantNotProven,
			"the assertion does not prove an issuer that this server trusts: check iss, kid, the key and the signing algorithm").
			Because(fmt.Errorf("issuer %q: %w", name[:min(len(name), 128)], why))
	}
	return i, nil
}

// judge holds what a proven issuer says against its record.
func (a *Assertions) judge(ctx context.Context, i Issuer, says claims, now time.Time) error {
	accepted := i.Audiences
	if len(accepted) == 0 {
		accepted = a.Audiences
	}
	if !says.names(accepted) {
		return oauth.Refuse(oauth.AssertionGrantAudience, "aud must be or hold one of %s", strings.Join(accepted, ", "))
	}
	if err := checkAhead(says.expires, now, i.MaxLifetime); err != nil {
		return err
	}
	if i.RequireJTI && says.jti == "" {
		return oauth.Refuse(oauth.AssertionGrantID, "jti is missing; each assertion of this issuer must have one of its own")
	}
	if !slices.Contains(i.SpeaksFor(), says.subject) || looksLikeAPerson(says.subject) {
		return oauth.Refuse(oauth.AssertionGrantSubject, "sub must be one of those that this issuer may speak for")
	}
	taken, err := a.Store.NamesClient(ctx, i.Name, says.subject)
	if err == nil && taken {
		return oauth.Refuse(oauth.AssertionGrantSubject, "iss or sub is the id of a client, who is nobody else's to speak for")
	}
	return err
}

// use is what an assertion uses up: its jti, or else what was signed. Of ES256 that is the input and the signature's r: two
// honest assertions may say the same, and the other half of a signature is anybody's to change (n−s verifies as s does).
func use(token *jose.JWS, says claims) replay.Use {
	if says.jti != "" {
		return replay.NewUse(replay.AssertionGrant, says.issuer, "jti "+says.jti, says.expires)
	}
	signed := sha256.New()
	signed.Write([]byte(token.SigningInput()))
	if token.Header().Alg == jose.ES256 {
		signed.Write(token.Signature()[:32])
	}
	once := base64.RawURLEncoding.EncodeToString(signed.Sum(nil))
	return replay.NewUse(replay.AssertionGrant, says.issuer, "signed "+once, says.expires)
}
