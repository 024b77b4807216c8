package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// The sizes of RSA keys, in bits: FAPI 2.0 Security Profile §5.4.1 sets the floor, the cost of verifying the ceiling.
const (
	minModulus = 2048
	maxModulus = 4096
)

// privateMembers are the JWK members of private and symmetric keys (RFC 7518 §6, RFC 8037 §2).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// smallOrder are the y coordinates, as in an Ed25519 key with its sign bit cleared, of the eight points whose order
// divides 8 (0, 1, -1 and the two of order 8). Signatures can be made to verify under them without any private key.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// Key is a public key that verifies signatures of one algorithm. It never changes and may be shared.
type Key struct {
	alg      Alg
	kid      string
	public   crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	required string           // the JWK of the required members alone, spelled as RFC 7638 §3 hashes it
	jkt      string
}

// ParseKey reads one public JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2) in its only spelling. Members that do not concern
// verifying are ignored. The error is a *Defect of kind JSONRefused, PrivateKey or KeyRefused.
func ParseKey(raw []byte) (*Key, error) {
	o, err := ParseObject(raw)
	if err != nil {
		return nil, err
	}
	return parseKey(o)
}

// Alg returns the one algorithm that the key verifies.
func (k *Key) Alg() Alg { return k.alg }

// Kid returns the key's name, empty when it has none.
func (k *Key) Kid() string { return k.kid }

// Thumbprint returns the SHA-256 thumbprint of RFC 7638 in base64url, which is also the jkt of RFC 9449 §6.1.
func (k *Key) Thumbprint() string { return k.jkt }

// Public returns the key as *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. It must not be changed.
func (k *Key) Public() crypto.PublicKey { return k.public }

// MarshalJSON writes the public JWK with kid, if there is one, use and alg.
func (k *Key) MarshalJSON() ([]byte, error) {
	rest, err := marshal(struct {
		Kid string `json:"kid,omitempty"`
		Use string `json:"use"`
		Alg Alg    `json:"alg"`
	}{k.kid, "sig", k.alg})
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(k.required[:len(k.required)-1]), []byte(","), rest[1:]), nil
}

// verify reports whether the key made the signature over input. RSA signatures are as long as the modulus (RFC 8017
// §8.1.2), those of the other algorithms have one length each, which Door.Parse has checked.
//
// It calls the verifier behind jws.Verify, not jws.Verify itself: that would read the header a second time, by other
// rules, and refuse a token for members which are ignored here (an x5c within jwk, an x5t), parsing a stranger's
// certificates on the way.
func (k *Key) verify(input, signature []byte) bool {
	if public, ok := k.public.(*rsa.PublicKey); ok && len(signature) != public.Size() {
		return false
	}
	verifier, err := jws.VerifierFor(k.alg.jwx())
	return err == nil && verifier.Verify(k.public, input, signature) == nil
}

// parseKey reads a key that is to verify signatures.
func parseKey(o Object) (*Key, error) {
	k, err := parsePublic(o)
	if err == nil {
		err = k.checkPurpose(o)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// parsePublic reads a public key, whatever it is for.
func parsePublic(o Object) (*Key, error) {
	for _, name := range privateMembers {
		if o.Has(name) {
			return nil, refuse(PrivateKey, "The JWK has the member "+name+" of a private or symmetric key.")
		}
	}
	kty, _, err1 := o.String("kty")
	kid, _, err2 := o.String("kid")
	if err1 != nil || err2 != nil {
		return nil, refuse(KeyRefused, "The kty or kid of the JWK is not a string.")
	}
	var public crypto.PublicKey
	var err error
	switch kty {
	case "RSA":
		public, err = parseRSA(o)
	case "EC":
		public, err = parseEC(o)
	case "OKP":
		public, err = parseOKP(o)
	case "oct":
		err = refuse(PrivateKey, "The JWK is a symmetric key.")
	default:
		err = refuse(KeyRefused, "The kty of the JWK is "+safe(kty)+"; accepted are RSA, EC and OKP.")
	}
	if err != nil {
		return nil, err
	}
	return newKey(public, kid)
}

// checkPurpose compares what the JWK says it is for with what the key can do (RFC 7517 §4.2 to §4.4). A key for encryption
// ends here: it verifies nothing.
func (k *Key) checkPurpose(o Object) error {
	if use, present, err := o.String("use"); err != nil || present && use != "sig" {
		return refuse(KeyRefused, "The use of the JWK is not sig.")
	}
	var ops []string
	if present, err := o.Decode("key_ops", &ops); err != nil || present && !slices.Contains(ops, "verify") {
		return refuse(KeyRefused, "The key_ops of the JWK do not contain verify.")
	}
	name, present, err := o.String("alg")
	if alg, _ := ParseAlg(name); err != nil || present && alg != k.alg {
		return refuse(KeyRefused, "The alg of the JWK is "+safe(name)+"; keys of its type do "+string(k.alg)+" here.")
	}
	return nil
}

func parseRSA(o Object) (crypto.PublicKey, error) {
	n, ok1 := integer(o, "n", maxModulus/8)
	e, ok2 := integer(o, "e", 4)
	if !ok1 || !ok2 {
		return nil, refuse(KeyRefused, "The n or e of the JWK is missing, too long, or no base64url integer in its shortest form.")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func parseEC(o Object) (crypto.PublicKey, error) {
	if crv, _, _ := o.String("crv"); crv != "P-256" {
		return nil, refuse(KeyRefused, "The crv of the JWK is "+safe(crv)+"; accepted for EC is P-256.")
	}
	x, ok1 := octets(o, "x", 32)
	y, ok2 := octets(o, "y", 32)
	if !ok1 || !ok2 {
		return nil, refuse(KeyRefused, "The x or y of the JWK is not 32 bytes in base64url.")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, refuse(KeyRefused, "The x and y of the JWK are not a point of the curve P-256.")
	}
	return public, nil
}

func parseOKP(o Object) (crypto.PublicKey, error) {
	if crv, _, _ := o.String("crv"); crv != "Ed25519" {
		return nil, refuse(KeyRefused, "The crv of the JWK is "+safe(crv)+"; accepted for OKP is Ed25519.")
	}
	x, ok := octets(o, "x", ed25519.PublicKeySize)
	if !ok {
		return nil, refuse(KeyRefused, "The x of the JWK is not 32 bytes in base64url.")
	}
	return ed25519.PublicKey(x), nil
}

// octets reads a member of exactly size bytes; leading zeros belong to it (RFC 7518 §6.2.1.2).
func octets(o Object, name string, size int) ([]byte, bool) {
	text, _, err := o.String(name)
	if err != nil || len(text) != base64url.EncodedLen(size) {
		return nil, false
	}
	return decode(text)
}

// integer reads a member that is a positive integer of at most size bytes without leading zeros (RFC 7518 §2).
func integer(o Object, name string, size int) (*big.Int, bool) {
	text, _, err := o.String(name)
	if err != nil || text == "" || len(text) > base64url.EncodedLen(size) {
		return nil, false
	}
	octets, ok := decode(text)
	if !ok || octets[0] == 0 {
		return nil, false
	}
	return new(big.Int).SetBytes(octets), true
}

// newKey judges a public key by itself, whether it came as a JWK or belongs to a Signer.
func newKey(public crypto.PublicKey, kid string) (*Key, error) {
	if len(kid) > maxKid {
		return nil, refuse(KeyRefused, "The kid of the key is longer than 256 bytes.")
	}
	k := &Key{kid: kid, public: public}
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minModulus || bits > maxModulus || public.N.Bit(0) == 0 {
			return nil, refuse(KeyRefused, "The modulus of the RSA key is not an odd number of 2048 to 4096 bits.")
		}
		if public.E < 65537 || public.E > math.MaxInt32 || public.E%2 == 0 {
			return nil, refuse(KeyRefused, "The exponent of the RSA key is not an odd number from 65537 to 2147483647.")
		}
		e := big.NewInt(int64(public.E)).Bytes()
		k.alg, k.required = PS256, `{"e":"`+encode(e)+`","kty":"RSA","n":"`+encode(public.N.Bytes())+`"}`
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil || public.Curve != elliptic.P256() {
			return nil, refuse(KeyRefused, "The EC key is not on the curve P-256.")
		}
		k.alg, k.required = ES256, `{"crv":"P-256","kty":"EC","x":"`+encode(point[1:33])+`","y":"`+encode(point[33:])+`"}`
	case ed25519.PublicKey:
		if !properPoint(public) {
			return nil, refuse(KeyRefused, "The Ed25519 key is of small order or not in its only spelling.")
		}
		k.alg, k.required = EdDSA, `{"crv":"Ed25519","kty":"OKP","x":"`+encode(public)+`"}`
	default:
		return nil, refuse(KeyRefused, "The key is not an RSA, P-256 or Ed25519 key.")
	}
	hash := sha256.Sum256([]byte(k.required))
	k.jkt = encode(hash[:])
	return k, nil
}

// properPoint refuses small orders, and y coordinates of p = 2^255 - 19 or more, which are second spellings of others.
func properPoint(public ed25519.PublicKey) bool {
	if len(public) != ed25519.PublicKeySize {
		return false
	}
	y := [32]byte(public)
	y[31] &= 0x7f // the sign of x
	if y[31] == 0x7f && y[0] >= 0xed && [30]byte(y[1:31]) == [30]byte(bytes.Repeat([]byte{0xff}, 30)) {
		return false
	}
	return !slices.Contains(smallOrder, hex.EncodeToString(y[:]))
}
