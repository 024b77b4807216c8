package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// The ring.
const (
	Slots = 8
	Width = 30 * time.Minute

	// MaxAhead is how far ahead of now the signed time of a Use may lie, and MaxBehind how far behind, for the ring to
	// hold it, even when the clocks of server and database are a Width apart. Every lifetime that this server accepts or
	// issues is refused at start when it does not fit.
	MaxAhead  = 2 * Width
	MaxBehind = Width
)

// Kind is what sort of thing is used once.
type Kind string

// The kinds. Each names its owner in the key, so that two clients may use the same jti.
const (
	Assertion      Kind = "assertion"       // owner: client_id (RFC 7523 §3); signed time: exp
	AssertionGrant Kind = "assertion_grant" // owner: its issuer (RFC 7523 §3); signed time: exp
	Proof          Kind = "proof"           // owner: key thumbprint (RFC 9449 §11.1); signed time: iat
	AccessToken    Kind = "access_token"    // the deny-list; owner: the issuer; signed time: exp
	Departure      Kind = "departure"       // to an upstream, for nobody's client; signed time: of leaving
)

// Use is one thing that may be used once.
type Use struct {
	Kind Kind
	Slot int16
	Key  [sha256.Size]byte
}

// NewUse names the use of value by its owner. The parts are length-prefixed, so that no two different triples share a key.
func NewUse(kind Kind, owner, value string, signed time.Time) Use {
	h := sha256.New()
	for _, part := range []string{string(kind), owner, value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	u := Use{Kind: kind, Slot: slot(halfHour(signed))}
	h.Sum(u.Key[:0])
	return u
}

// Spend is what one request uses up, and the records that it was judged by.
type Spend struct {
	ClientID      string // "": no client to join (a protected resource)
	ClientVersion int64
	Voucher       Voucher
	Uses          []Use
}

// Voucher is the record of the trusted issuer whose assertion is a request's grant; the zero Voucher is that of no issuer.
type Voucher struct {
	Issuer  string
	Version int64
}

// Outcome is what became of a Spend. The zero Outcome is success.
type Outcome struct {
	Stale    bool // one of the records has changed or is gone; nothing was spent
	Replayed Kind // the first of the uses that had been used before, or ""
}

// Sweepable are the slots that nothing can need at now, the database's time.
func Sweepable(now time.Time) []int16 {
	h := halfHour(now)
	return []int16{slot(h - 3), slot(h - 4)}
}

func halfHour(t time.Time) int64 { return t.Unix() / int64(Width/time.Second) }

func slot(halfHour int64) int16 { return int16(((halfHour % Slots) + Slots) % Slots) }
