package jose

import "github.com/lestrrat-go/jwx/v3/jwa"

// Alg names a signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
type Alg string

// The algorithms of the FAPI 2.0 Security Profile §5.4.1; EdDSA means Ed25519 only. PS256 salts are 32 bytes long.
const (
	PS256 Alg = "PS256"
	ES256 Alg = "ES256"
	EdDSA Alg = "EdDSA"
)

// Algs lists the names of all algorithms, for metadata and challenges. The slice is the caller's own.
func Algs() []string { return []string{string(PS256), string(ES256), string(EdDSA)} }

// ParseAlg reads an algorithm name, letter for letter. Ed25519 is another name of EdDSA (RFC 9864 §2.2).
func ParseAlg(name string) (Alg, bool) {
	switch name {
	case "PS256", "ES256", "EdDSA":
		return Alg(name), true
	case "Ed25519":
		return EdDSA, true
	}
	return "", false
}

// jwx returns the library's value for the algorithm.
func (a Alg) jwx() jwa.SignatureAlgorithm {
	switch a {
	case PS256:
		return jwa.PS256()
	case ES256:
		return jwa.ES256()
	}
	return jwa.EdDSA()
}
