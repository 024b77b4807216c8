package client

import (
	"context"
	"strings"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// maxKids bounds the kids that a refusal names; the longest one that is named whole has 40 bytes.
const maxKids = 5

// Recipient finds the key that answers to a client are encrypted for by alg, as it finds those that verify: inline, or
// behind the jwks_uri, where a set without such a key is fetched anew as one without a kid is, and the last good set serves
// for an hour while its host is down. That there is no such key, or no set at all, is a refusal: the fault is the client's
// alone, and none of this server's. It rests on the client's record and so belongs before Records.Doubt.
func (k *KeySets) Recipient(ctx context.Context, c Client, alg string) (*jose.Recipient, error) {
	s := k.find(c.KeySource())
	var found *jose.Recipient
	var missing error
	var seen jose.KeySet
	usable := k.look(ctx, s, k.now(), func(set jose.KeySet) bool {
		seen = set
		found, missing = set.Recipient(alg)
		return missing == nil
	})
	switch {
	case !usable:
		return nil, oauth.Refuse(oauth.EncryptionKeyMissing,
			"jwks_uri: no key set could be had from it; it must answer 200 with a JWK Set")
	case missing != nil:
		member := "jwks"
		if s.uri != "" {
			member = "jwks_uri"
		}
		return nil, oauth.Refuse(oauth.EncryptionKeyMissing, "%s: %s It has the kids: %s", member, jose.Detail(missing), kidsOf(seen))
	}
	return found, nil
}

// kidsOf names the keys of a set, so that its owner sees which set this server knows.
func kidsOf(set jose.KeySet) string {
	var kids []string
	for _, key := range set.Keys {
		kids = append(kids, key.Kid())
	}
	for _, other := range set.Skipped {
		kids = append(kids, other.Kid)
	}
	var named []string
	for _, kid := range kids {
		if kid != "" && len(named) < maxKids {
			named = append(named, oauth.Printable(kid[:min(len(kid), 40)]))
		}
	}
	if len(named) == 0 {
		return "none"
	}
	return strings.Join(named, ", ")
}
