package josetest

import "authserver/internal/jose"

// Server signs everything with one key for ES256, whichever alg it is asked for.
type Server struct{ *jose.Signer }

// NewServer is a Server with a new key, whose kid is ours.
func NewServer() Server {
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		panic(err)
	}
	s, err := jose.NewSigner(jose.ES256, "ours", private)
	if err != nil {
		panic(err)
	}
	return Server{s}
}

// Sign makes a compact JWS of claims.
func (s Server) Sign(_ jose.Alg, typ string, claims any) (string, error) {
	return s.Signer.Sign(typ, claims)
}

// Key is the public key, whatever its kid.
func (s Server) Key(string) *jose.Key { return s.Signer.Key() }
