package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// The clock rules of a proof.
const (
	maxAgeWithNonce    = 300 * time.Second
	maxAgeWithoutNonce = 60 * time.Second
	aheadLeeway        = 30 * time.Second
	expLeeway          = 10 * time.Second

	maxProof = 8 << 10 // bytes
	maxJTI   = 1 << 10 // bytes; only its hash is stored
)

// Policy is whether a proof must bear a nonce.
type Policy string

// The policies of AUTHSERVER_DPOP_NONCE.
const (
	NonceRequired Policy = "required"
	NonceOptional Policy = "optional"
	NonceOff      Policy = "off"
)

// Verifier checks the proofs of requests.
type Verifier struct {
	Policy Policy
	Nonces Nonces
}

// Proof is a verified proof of possession.
type Proof struct {
	Thumbprint string     // RFC 7638, SHA-256: the jkt of a token
	Use        replay.Use // to be spent by the caller
}

// Request is what a proof must speak of.
type Request struct {
	Method      string
	URLs        []string // the endpoint's URLs from the configuration; a refusal names the first
	AccessToken string   // "" at the authorization server's own endpoints
}

// Of is what a proof of the request r must speak of: its path at one of the origins, each scheme and host of a public URL.
func Of(r *http.Request, origins []string) Request {
	about := Request{Method: r.Method}
	for _, origin := range origins {
		about.URLs = append(about.URLs, origin+r.URL.EscapedPath())
	}
	return about
}

// Has tells whether a request bears a DPoP header at all.
func Has(h http.Header) bool { return len(h.Values("DPoP")) > 0 }

// Verify returns what the request's DPoP header proves (RFC 9449 §4.3). The request must have one.
func (v Verifier) Verify(h http.Header, r Request, now time.Time) (Proof, error) {
	values := h.Values("DPoP")
	switch {
	case len(values) == 0:
		return Proof{}, oauth.Refuse(oauth.ProofMissing, "a DPoP header with a proof for %s is needed", r.URLs[0])
	case len(values) > 1 || strings.Contains(values[0], ","):
		return Proof{}, oauth.Refuse(oauth.ProofRepeated, "there must be exactly one DPoP header with one proof")
	}
	token, err := parse(values[0])
	if err != nil {
		return Proof{}, err
	}
	key := token.Header().Key
	claims, err := token.Verify(key)
	if err != nil {
		return Proof{}, oauth.Refuse(oauth.ProofSignature, "DPoP: the signature does not verify with the proof's own jwk").Because(err)
	}
	p := Proof{Thumbprint: key.Thumbprint()}
	if p.Use, err = v.judge(claims, p.Thumbprint, r, now); err != nil {
		return Proof{}, err
	}
	return p, nil
}

// parse lets a proof through the door of package jose.
func parse(compact string) (*jose.JWS, error) {
	token, err := jose.Door{MaxBytes: maxProof, Types: []string{"dpop+jwt"}, EmbeddedKey: true}.Parse(compact)
	if err == nil {
		return token, nil
	}
	reason := oauth.ProofMalformed
	switch jose.KindOf(err) {
	case jose.AlgNotOffered:
		reason = oauth.ProofAlg
	case jose.TypRefused:
		reason = oauth.ProofTyp
	case jose.KeyRefused, jose.PrivateKey:
		reason = oauth.ProofKey
	}
	return nil, oauth.Refuse(reason, "DPoP: %s", jose.Detail(err)).Because(err)
}

// judge applies the rules on the claims and returns the use of the proof.
func (v Verifier) judge(claims jose.Object, thumbprint string, r Request, now time.Time) (replay.Use, error) {
	text := map[string]string{}
	for _, name := range []string{"jti", "htm", "htu"} {
		s, _, err := claims.String(name)
		if err != nil || s == "" || name == "jti" && len(s) > maxJTI {
			return replay.Use{}, oauth.Refuse(oauth.ProofClaims, "DPoP: %s must be a string that is not empty, jti of at most %d bytes", name, maxJTI)
		}
		text[name] = s
	}
	if text["htm"] != r.Method {
		return replay.Use{}, oauth.Refuse(oauth.ProofMethod, "DPoP: htm must be %s", r.Method)
	}
	if !slices.ContainsFunc(r.URLs, func(url string) bool { return sameURL(text["htu"], url) }) {
		return replay.Use{}, oauth.Refuse(oauth.ProofURI, "DPoP: htu must be %s", r.URLs[0])
	}
	iat, err := checkTimes(claims, now)
	if err != nil {
		return replay.Use{}, err
	}
	if err := checkTokenHash(claims, r.AccessToken); err != nil {
		return replay.Use{}, err
	}
	if err := v.checkNonce(claims, iat, now); err != nil {
		return replay.Use{}, err
	}
	return replay.NewUse(replay.Proof, thumbprint, text["jti"], iat), nil
}

// checkTimes applies the wider window to iat, and exp and nbf where a proof has them (seed 000 sends exp).
func checkTimes(claims jose.Object, now time.Time) (time.Time, error) {
	iat, present, err := claims.Time("iat")
	if err != nil || !present {
		return iat, oauth.Refuse(oauth.ProofClaims, "DPoP: iat must be a number of seconds since 1970")
	}
	if age := now.Sub(iat); age > maxAgeWithNonce || age < -aheadLeeway {
		return iat, stale(age, maxAgeWithNonce)
	}
	exp, hasExp, err := claims.Time("exp")
	nbf, hasNbf, err2 := claims.Time("nbf")
	switch {
	case err != nil || err2 != nil:
		return iat, oauth.Refuse(oauth.ProofClaims, "DPoP: exp and nbf, where present, must be numbers of seconds since 1970")
	case hasExp && now.Sub(exp) >= expLeeway:
		return iat, oauth.Refuse(oauth.ProofExpired, "DPoP: exp passed %.0f s ago by this server's clock", now.Sub(exp).Seconds())
	case hasNbf && nbf.Sub(now) > aheadLeeway:
		return iat, oauth.Refuse(oauth.ProofExpired, "DPoP: nbf lies %.0f s ahead of this server's clock", nbf.Sub(now).Seconds())
	}
	return iat, nil
}

func stale(age, limit time.Duration) error {
	return oauth.Refuse(oauth.ProofStale, "DPoP: iat is %.0f s old by this server's clock; -%.0f to %.0f s is accepted", age.Seconds(), aheadLeeway.Seconds(), limit.Seconds())
}

// checkTokenHash binds the proof to the access token that it comes with (RFC 9449 §4.3-12).
func checkTokenHash(claims jose.Object, accessToken string) error {
	if accessToken == "" {
		return nil
	}
	h := sha256.Sum256([]byte(accessToken))
	ath, _, err := claims.String("ath")
	if err != nil || subtle.ConstantTimeCompare([]byte(ath), []byte(base64.RawURLEncoding.EncodeToString(h[:]))) != 1 {
		return oauth.Refuse(oauth.ProofTokenHash, "DPoP: ath must be the base64url SHA-256 of the access token")
	}
	return nil
}

// checkNonce asks for a nonce, and holds a proof without one to the narrower window.
func (v Verifier) checkNonce(claims jose.Object, iat, now time.Time) error {
	nonce, present, err := claims.String("nonce")
	if v.Policy == NonceOff {
		present, err = false, nil
	}
	switch {
	case err != nil:
		return oauth.Refuse(oauth.NonceMalformed, "DPoP: nonce must be a string")
	case present && v.Nonces.Recognises(nonce, now):
		return nil
	case present:
		return oauth.Refuse(oauth.NonceUnknown, "DPoP: the nonce is too old or not from this server; use the one in the DPoP-Nonce header")
	case v.Policy == NonceRequired:
		return oauth.Refuse(oauth.NonceMissing, "DPoP: the proof needs the nonce in the DPoP-Nonce header; send the request again with it")
	}
	if age := now.Sub(iat); age > maxAgeWithoutNonce {
		return stale(age, maxAgeWithoutNonce)
	}
	return nil
}
