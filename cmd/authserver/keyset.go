package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
)

// readKeySet reads the public keys of a file: a JWK Set, or one key in PEM, which a kid may name, or must.
func readKeySet(path, kid string, must bool) (json.RawMessage, error) {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, err
	case strings.HasPrefix(strings.TrimSpace(string(text)), "-----BEGIN"):
		jwks, err := keySetOfPEM(text, kid)
		if err == nil && must && kid == "" {
			err = errors.New("--kid is missing: it must say what assertions call the key of a PEM file")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return jwks, nil
	case kid != "":
		return nil, fmt.Errorf("%s is no PEM file: the keys of a JWK Set name themselves", path)
	case !json.Valid(text):
		return nil, fmt.Errorf("%s is neither JSON nor PEM", path)
	}
	return text, nil
}

// keySetOfPEM is a JWK Set of one public key in PEM, such as openssl ec -pubout writes. What the key is good for is judged
// where the set is.
func keySetOfPEM(text []byte, kid string) (json.RawMessage, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("it is no PEM")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("it holds a private key, which nobody but its owner must have; give the public one (openssl ec -pubout)")
	case block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("it must be one PUBLIC KEY in PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the public key cannot be read")
	}
	encode := base64.RawURLEncoding.EncodeToString
	var jwk map[string]string
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil, errors.New("the public key is not on its curve")
		}
		half := len(point) / 2 // one byte says that both coordinates follow
		jwk = map[string]string{"kty": "EC", "crv": key.Params().Name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	case *rsa.PublicKey:
		jwk = map[string]string{"kty": "RSA", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	case ed25519.PublicKey:
		jwk = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(key)}
	default:
		return nil, errors.New("it must be an EC, RSA or Ed25519 key")
	}
	if kid != "" {
		jwk["kid"] = kid
	}
	return json.Marshal(map[string]any{"keys": []any{jwk}})
}
