package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"authserver/internal/certificate"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// byCertificate is tls_client_auth and self_signed_tls_client_auth (RFC 8705 §2): the certificate that the request's
// connection has proven, and the client_id that says whose it is.
func (a *Authenticator) byCertificate(ctx context.Context, r *http.Request, id string, now time.Time) (Caller, error) {
	if a.Anchors == nil {
		return Caller{}, oauth.Refuse(oauth.ClientAuthMissing, "client_assertion is missing (private_key_jwt)")
	}
	presented, found, err := certificate.Of(r, now)
	switch {
	case err != nil:
		return Caller{}, err
	case !found:
		return Caller{}, oauth.Refuse(oauth.ClientAuthMissing,
			"client_assertion is missing (private_key_jwt), and the connection has no client certificate (%s, %s)",
			TLSClientAuth, SelfSignedTLSClientAuth)
	case id == "":
		return Caller{}, oauth.Refuse(oauth.ClientAuthMissing,
			"client_assertion is missing (private_key_jwt), and so is client_id, which must say whose the client certificate is")
	}
	c, err := a.certified(ctx, id, presented, now)
	return Caller{Client: c}, err
}

// certified finds the client and holds the certificate against what it registered. As with an assertion every failure is the
// same refusal; the chain is judged before the look-up, also for clients that need none, since it takes the most time.
func (a *Authenticator) certified(
	ctx context.Context, id string, presented certificate.Certificate, now time.Time,
) (Client, error) {
	untrusted := a.Anchors.Verify(presented, now)
	c, found, err := a.Records.Find(ctx, id)
	if err != nil {
		return Client{}, err
	}
	var why error
	switch method := c.Metadata.TokenEndpointAuthMethod; {
	case !found:
		why = errors.New("its client is unknown or deleted")
	case method == TLSClientAuth && untrusted != nil:
		why = untrusted
	case method == TLSClientAuth:
		if subject, ok := c.Metadata.CertificateSubject(); !ok || !subject.Matches(presented) {
			why = fmt.Errorf("the certificate of %q has another subject", clip(presented.Leaf.Subject.String()))
		}
	case method == SelfSignedTLSClientAuth:
		why = a.KeySets.publishes(ctx, c.KeySource(), presented.Leaf, now)
	default:
		why = errors.New("registered for another authentication method")
	}
	if why == nil {
		return c, nil
	}
	about := fmt.Sprintf("client %q", c.ID)
	if !found { // what stood in client_id may be anything, also what must not stand in a log
		about = fmt.Sprintf("the certificate of %q", clip(presented.Leaf.Subject.String()))
	}
	refusal := error(oauth.Refuse(oauth.ClientNotProven,
		"the client certificate does not prove a registered client: check client_id, the registered method and subject or x5c, "+
			"and the certificate's authority").Because(fmt.Errorf("%s: %w", about, why)))
	if found { // perhaps in memory and since changed
		refusal = a.Records.Doubt(ctx, c, refusal)
	}
	return Client{}, refusal
}

// SubjectTaken is the refusal of a client whose certificate's subject another living client has registered.
func SubjectTaken() error {
	return oauth.Refuse(oauth.SubjectTaken, "another client is registered with this subject of a certificate")
}

// publishes returns nil if the certificate is one of the key set, to the byte (RFC 8705 §2.2), or else why not.
func (k *KeySets) publishes(ctx context.Context, from KeySource, leaf *x509.Certificate, now time.Time) error {
	found := false
	usable := k.look(ctx, k.find(from), now, func(set jose.KeySet) bool {
		found = slices.ContainsFunc(set.Certificates, leaf.Equal)
		return found
	})
	switch {
	case !usable:
		return errors.New("the jwks_uri gives no key set")
	case !found:
		return errors.New("the certificate is no x5c of the key set")
	}
	return nil
}
