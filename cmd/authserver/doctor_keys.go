package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"
)

// checkKeys opens the signing keys, and holds what the public URL publishes against them.
func (e *examination) checkKeys(ctx context.Context) {
	if !e.needsDatabase("keys") {
		return
	}
	ring, err := keys.Open(ctx, e.store, e.keys, time.Now) // of no algorithm: nothing is made
	switch {
	case errors.Is(err, keys.ErrSealed):
		e.found("keys", failed, err.Error(), "UPGRADING.md says what a lost key-encryption key means")
		return
	case err != nil:
		e.found("keys", failed, err.Error(), "")
		return
	}
	all := ring.Keys()
	if len(all) == 0 {
		e.found("keys", warning, "there are none yet", "the first start of authserver serve makes them")
		return
	}
	var oldest time.Duration
	for _, alg := range jose.Algs() {
		i := slices.IndexFunc(all, func(s keys.Status) bool { return string(s.Alg) == alg && s.State == keys.Active })
		if i < 0 {
			e.found("keys", failed, "no key signs with "+alg, "authserver keys rotate")
			return
		}
		oldest = max(oldest, time.Since(all[i].ActivatesAt))
	}
	if missing := e.unpublished(ctx, all); missing != "" {
		e.found("keys", failed, "the public key set lacks "+missing, "is something caching "+e.config.issuer+"/oauth2/jwks for too long?")
		return
	}
	detail := fmt.Sprintf("%s, the oldest has signed for %.0f days", plural(len(all), "key"), oldest.Hours()/24)
	if _, err := keys.Open(ctx, e.store, e.keys[:1], time.Now); err != nil {
		e.found("keys", warning, "a key is sealed under an older key-encryption key", "authserver keys rewrap")
		return
	}
	if e.config.keyRotation > 0 && oldest > e.config.keyRotation+24*time.Hour {
		e.found("keys", warning, detail+"; the rotation is overdue", "look for \"rotate\" in the log of a replica")
		return
	}
	e.found("keys", passed, detail, "")
}

// unpublished is a kid that verifiers need and do not find, or "". A key set that cannot be reached is the issuer's matter.
func (e *examination) unpublished(ctx context.Context, all []keys.Status) string {
	client, err := e.publicClient()
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var set struct{ Keys []struct{ Kid string } }
	if status, err := getJSON(ctx, client, e.config.issuer+"/oauth2/jwks", &set); err != nil || status != http.StatusOK {
		return ""
	}
	for _, s := range all {
		if s.State != keys.Active {
			continue
		}
		if !slices.ContainsFunc(set.Keys, func(k struct{ Kid string }) bool { return k.Kid == s.KID }) {
			return s.KID
		}
	}
	return ""
}
