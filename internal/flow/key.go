package flow

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
)

// JWK is a key as RFC 7517 spells it: RSA, P-256 or Ed25519. The private members are empty in a public key.
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid,omitempty"`
	Use string `json:"use,omitempty"`
	Alg string `json:"alg,omitempty"`
	D   string `json:"d,omitempty"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
	DP  string `json:"dp,omitempty"`
	DQ  string `json:"dq,omitempty"`
	QI  string `json:"qi,omitempty"`
}

// Thumbprint is the base64url SHA-256 over the key's required members in lexicographic order (RFC 7638 §3.2, and
// RFC 8037 §2 for Ed25519).
func (j JWK) Thumbprint() string {
	members := map[string]string{"kty": j.Kty}
	switch j.Kty {
	case "EC":
		members["crv"], members["x"], members["y"] = j.Crv, j.X, j.Y
	case "RSA":
		members["n"], members["e"] = j.N, j.E
	default:
		members["crv"], members["x"] = j.Crv, j.X
	}
	canonical, _ := json.Marshal(members) // A map of strings always encodes, with its names sorted.
	return digest64(string(canonical))
}

// PublicKey is the key for crypto/rsa, crypto/ecdsa or crypto/ed25519.
func (j JWK) PublicKey() (crypto.PublicKey, error) {
	switch {
	case j.Kty == "RSA":
		n, errN := decode64(j.N)
		e, errE := decode64(j.E)
		exponent := new(big.Int).SetBytes(e)
		if err := errors.Join(errN, errE); err != nil || exponent.BitLen() > 31 {
			return nil, cmp.Or(err, errors.New("the exponent of the RSA key is too long"))
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case j.Kty == "EC" && j.Crv == "P-256":
		x, errX := decode64(j.X)
		y, errY := decode64(j.Y)
		if err := errors.Join(errX, errY); err != nil {
			return nil, err
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		x, err := decode64(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, cmp.Or(err, errors.New("x of an Ed25519 key is 32 bytes"))
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, fmt.Errorf("kty %q with crv %q is not a key this client can use", j.Kty, j.Crv)
}

// Key is a private key and the algorithm it signs with.
type Key struct {
	ID       string // kid; empty when the key file names none
	Alg      string // PS256, ES256 or EdDSA
	ClientID string // member client_id of a key file: the client that registered this key
	Issuer   string // member iss of a key file: the issuer of assertions whose key this is
	Signer   crypto.Signer
}

// GenerateKey makes a fresh key for PS256 (RSA, 2048 bits), ES256 (P-256) or EdDSA (Ed25519); its kid is its thumbprint.
func GenerateKey(alg string) (*Key, error) {
	key := &Key{Alg: alg}
	var err error
	switch alg {
	case "PS256":
		key.Signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key.Signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key.Signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no key is made for alg %q: PS256, ES256 and EdDSA are known", alg)
	}
	if err != nil {
		return nil, err
	}
	key.ID = key.Thumbprint()
	return key, nil
}

// PublicJWK is the key as a client registers it, with kid, use and alg.
func (k *Key) PublicJWK() JWK {
	j := k.bareJWK()
	j.Kid, j.Use, j.Alg = k.ID, "sig", k.Alg
	return j
}

// Thumbprint is what a token bound to this key carries as cnf.jkt (RFC 9449 §6.1).
func (k *Key) Thumbprint() string { return k.bareJWK().Thumbprint() }

// bareJWK holds the required public members only, as the header of a DPoP proof wants them.
func (k *Key) bareJWK() JWK {
	switch public := k.Signer.Public().(type) {
	case *rsa.PublicKey:
		return JWK{Kty: "RSA", N: encode64(public.N.Bytes()), E: encode64(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil || len(point) != 65 {
			return JWK{}
		}
		return JWK{Kty: "EC", Crv: "P-256", X: encode64(point[1:33]), Y: encode64(point[33:])}
	case ed25519.PublicKey:
		return JWK{Kty: "OKP", Crv: "Ed25519", X: encode64(public)}
	}
	return JWK{}
}

// PrivateJWK is the key with its private members.
func (k *Key) PrivateJWK() (JWK, error) {
	j := k.PublicJWK()
	switch private := k.Signer.(type) {
	case *rsa.PrivateKey:
		private.Precompute()
		if len(private.Primes) != 2 {
			return JWK{}, errors.New("the RSA key has no two primes to write")
		}
		j.D, j.P, j.Q = encode64(private.D.Bytes()), encode64(private.Primes[0].Bytes()), encode64(private.Primes[1].Bytes())
		crt := private.Precomputed
		j.DP, j.DQ, j.QI = encode64(crt.Dp.Bytes()), encode64(crt.Dq.Bytes()), encode64(crt.Qinv.Bytes())
	case *ecdsa.PrivateKey:
		d, err := private.Bytes()
		if err != nil {
			return JWK{}, err
		}
		j.D = encode64(d)
	case ed25519.PrivateKey:
		j.D = encode64(private.Seed())
	default:
		return JWK{}, fmt.Errorf("a %T does not show its private members", k.Signer)
	}
	return j, nil
}

type keyFile struct {
	JWK
	ClientID string `json:"client_id,omitempty"`
	Issuer   string `json:"iss,omitempty"`
}

// WriteFile writes the private JWK, with client_id and iss beside it, readable by the owner only.
func (k *Key) WriteFile(path string) error {
	private, err := k.PrivateJWK()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(keyFile{private, k.ClientID, k.Issuer}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// ReadKeyFile reads a private JWK that may carry members client_id and iss. The algorithm is the file's, or the one of its
// kind of key; the public members must belong to the private ones.
func ReadKeyFile(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file keyFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s is not a JWK: %w", path, err)
	}
	signer, err := file.privateKey()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key := &Key{ID: file.Kid, ClientID: file.ClientID, Issuer: file.Issuer, Signer: signer}
	natural := map[string]string{"RSA": "PS256", "EC": "ES256", "OKP": "EdDSA"}[file.Kty]
	if key.Alg = cmp.Or(file.Alg, natural); key.Alg != natural {
		return nil, fmt.Errorf("%s: alg %s does not go with kty %s, expected %s", path, file.Alg, file.Kty, natural)
	}
	if key.Thumbprint() != file.Thumbprint() {
		return nil, fmt.Errorf("%s: the public members do not belong to the private ones", path)
	}
	return key, nil
}

func (j JWK) privateKey() (crypto.Signer, error) {
	public, err := j.PublicKey()
	if err != nil {
		return nil, err
	}
	d, err := decode64(j.D)
	if err != nil || len(d) == 0 {
		return nil, errors.New("the private member d is missing or not base64url")
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		p, errP := decode64(j.P)
		q, errQ := decode64(j.Q)
		if err := errors.Join(errP, errQ); err != nil || len(p) == 0 || len(q) == 0 {
			return nil, errors.New("the primes p and q are missing or not base64url")
		}
		key := &rsa.PrivateKey{PublicKey: *public, D: new(big.Int).SetBytes(d),
			Primes: []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)}}
		return key, key.Validate()
	case *ecdsa.PublicKey:
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	}
	if len(d) != ed25519.SeedSize {
		return nil, errors.New("d of an Ed25519 key is 32 bytes")
	}
	return ed25519.NewKeyFromSeed(d), nil
}

// sign makes the signature bytes of RFC 7518 §3 and RFC 8037 §3.1. Besides the three algorithms of FAPI 2.0 it knows
// RS256, HS256 and none, because a server has to be asked with them to be seen refusing them.
func (k *Key) sign(alg string, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	switch private := k.Signer.(type) {
	case *rsa.PrivateKey:
		switch alg {
		case "PS256":
			return rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		case "RS256":
			return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
		}
	case *ecdsa.PrivateKey:
		if alg == "ES256" {
			r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
		}
	case ed25519.PrivateKey:
		if alg == "EdDSA" || alg == "Ed25519" {
			return ed25519.Sign(private, input), nil
		}
	}
	switch alg {
	case "none":
		return nil, nil
	case "HS256":
		return k.mac(input)
	}
	return nil, fmt.Errorf("a %T cannot sign with alg %q", k.Signer, alg)
}

// mac takes the public key, in PEM, for a secret, as a server does that believes alg (RFC 8725 §2.1).
func (k *Key) mac(input []byte) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Signer.Public())
	if err != nil {
		return nil, err
	}
	sum := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	sum.Write(input)
	return sum.Sum(nil), nil
}

// verify checks a signature with a public key of the server.
func (j JWK) verify(alg string, input, signature []byte) error {
	public, err := j.PublicKey()
	if err != nil {
		return err
	}
	digest := sha256.Sum256(input)
	valid := false
	switch public := public.(type) {
	case *rsa.PublicKey:
		valid = alg == "PS256" && rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case *ecdsa.PublicKey:
		valid = alg == "ES256" && len(signature) == 64 &&
			ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case ed25519.PublicKey:
		valid = (alg == "EdDSA" || alg == "Ed25519") && ed25519.Verify(public, input, signature)
	}
	if !valid {
		return fmt.Errorf("the %s signature does not verify with key %q", alg, j.Kid)
	}
	return nil
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode64(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// digest64 is the base64url SHA-256 that thumbprints and ath share.
func digest64(s string) string {
	sum := sha256.Sum256([]byte(s))
	return encode64(sum[:])
}

// randomID is 128 bits of entropy in 22 characters, for jti.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // Never fails since Go 1.24.
	return encode64(b[:])
}

// randomUUID is a UUID of version 4 (RFC 9562 §5.4), as x-fapi-interaction-id has to be.
func randomUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// members decodes a JSON object with its numbers kept as written.
func members(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}
