package response

import (
	"context"
	"errors"

	"authserver/internal/client"
	"authserver/internal/jose"
)

// nested is the cty of a JWE that holds a JWT (RFC 7519 §5.2).
const nested = "JWT"

// Signer signs with the server's keys.
type Signer interface {
	Sign(alg jose.Alg, typ string, claims any) (string, error)
}

// Keys finds the key that answers to a client are encrypted for.
type Keys interface {
	Recipient(ctx context.Context, c client.Client, alg string) (*jose.Recipient, error)
}

// Sealer protects answers as their clients registered.
type Sealer struct {
	Signer Signer
	Keys   Keys
}

// Envelope is ready for one answer. The zero Envelope seals nothing.
type Envelope struct {
	signer     Signer
	protection client.Protection
	recipient  *jose.Recipient // nil: the answer is not encrypted
}

// Prepare finds what it takes to seal an answer to the client. It comes before anything is spent: a client whose key is
// missing, or cannot be fetched, is refused (oauth.EncryptionKeyMissing). The refusal rests on the client's record and belongs
// before client.Records.Doubt.
func (s Sealer) Prepare(ctx context.Context, c client.Client, p client.Protection) (Envelope, error) {
	if p.Sign == "" {
		return Envelope{}, errors.New("response: an answer that is not signed has no envelope")
	}
	e := Envelope{signer: s.Signer, protection: p}
	if p.Alg == "" {
		return e, nil
	}
	var err error
	if e.recipient, err = s.Keys.Recipient(ctx, c, p.Alg); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

// Seal returns the claims as a JWS whose header has typ, or as a JWE of that JWS. An error is a fault of ours.
func (e Envelope) Seal(typ string, claims any) (string, error) {
	if e.signer == nil {
		return "", errors.New("response: the envelope was not prepared")
	}
	signed, err := e.signer.Sign(e.protection.Sign, typ, claims)
	if err != nil || e.recipient == nil {
		return signed, err
	}
	return e.recipient.Encrypt([]byte(signed), e.protection.Enc, nested)
}
