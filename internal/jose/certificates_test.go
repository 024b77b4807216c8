package jose_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"authserver/internal/certificate/certificatetest"
	"authserver/internal/jose"
)

// TestCertificates (CA-11): of a JWK Set those certificates count that belong to the key beside them, whatever algorithm it is
// for, and only the first of each chain. A certificate makes no key good or bad.
func TestCertificates(t *testing.T) {
	ec, rsaK, ed := ecKey(t), rsaKey(t), ed25519.NewKeyFromSeed(make([]byte, 32))
	ofEC, ofRSA, ofEd := certificatetest.SelfSignedFor(t, ec).Leaf, certificatetest.SelfSignedFor(t, rsaK).Leaf, certificatetest.SelfSignedFor(t, ed).Leaf
	x5c := func(list ...*x509.Certificate) string {
		var texts []string
		for _, c := range list {
			texts = append(texts, `"`+base64.StdEncoding.EncodeToString(c.Raw)+`"`)
		}
		return `,"x5c":[` + strings.Join(texts, ",") + `]`
	}
	std := base64.StdEncoding.EncodeToString(ofEC.Raw)
	for name, test := range map[string]struct {
		key  string
		want *x509.Certificate
		keys int
	}{
		"P-256":                      {jwk(t, &ec.PublicKey, x5c(ofEC)), ofEC, 1},
		"RSA":                        {jwk(t, &rsaK.PublicKey, x5c(ofRSA)), ofRSA, 1},
		"Ed25519":                    {jwk(t, ed.Public(), x5c(ofEd)), ofEd, 1},
		"for signatures":             {jwk(t, &ec.PublicKey, `,"use":"sig"`+x5c(ofEC)), ofEC, 1},
		"for another algorithm":      {jwk(t, &rsaK.PublicKey, `,"alg":"RS256"`+x5c(ofRSA)), ofRSA, 0},
		"with its authority":         {jwk(t, &ec.PublicKey, x5c(ofEC, ofRSA)), ofEC, 1},
		"none":                       {jwk(t, &ec.PublicKey, ``), nil, 1},
		"an empty chain":             {jwk(t, &ec.PublicKey, `,"x5c":[]`), nil, 1},
		"of another key":             {jwk(t, &ec.PublicKey, x5c(ofRSA)), nil, 1},
		"of another key of its kind": {jwk(t, &newEC(t, ec.Curve).PublicKey, x5c(ofEC)), nil, 1},
		"the second of the chain":    {jwk(t, &ec.PublicKey, x5c(ofRSA, ofEC)), nil, 1},
		"for encryption":             {jwk(t, &ec.PublicKey, `,"use":"enc"`+x5c(ofEC)), nil, 0},
		"a use that is no string":    {jwk(t, &ec.PublicKey, `,"use":1`+x5c(ofEC)), nil, 0},
		"to verify":                  {jwk(t, &ec.PublicKey, `,"key_ops":["verify"]`+x5c(ofEC)), ofEC, 1},
		"to sign":                    {jwk(t, &ec.PublicKey, `,"key_ops":["sign"]`+x5c(ofEC)), ofEC, 0},
		"to verify and to unwrap":    {jwk(t, &rsaK.PublicKey, `,"key_ops":["unwrapKey","verify"]`+x5c(ofRSA)), ofRSA, 1},
		"to agree on keys":           {jwk(t, &ec.PublicKey, `,"key_ops":["deriveKey"]`+x5c(ofEC)), nil, 0},
		"to wrap keys":               {jwk(t, &rsaK.PublicKey, `,"key_ops":["wrapKey","encrypt"]`+x5c(ofRSA)), nil, 0},
		"to do nothing":              {jwk(t, &ec.PublicKey, `,"key_ops":[]`+x5c(ofEC)), nil, 0},
		"key_ops that are no array":  {jwk(t, &ec.PublicKey, `,"key_ops":"verify"`+x5c(ofEC)), nil, 0},
		"key_ops with a number":      {jwk(t, &ec.PublicKey, `,"key_ops":["verify",1]`+x5c(ofEC)), nil, 0},
		"for ECDH-ES":                {jwk(t, &ec.PublicKey, `,"alg":"ECDH-ES"`+x5c(ofEC)), nil, 0},
		"for ECDH-ES, and to verify": {jwk(t, &ec.PublicKey, `,"alg":"ECDH-ES","key_ops":["verify"]`+x5c(ofEC)), nil, 0},
		"for RSA-OAEP":               {jwk(t, &rsaK.PublicKey, `,"alg":"RSA-OAEP"`+x5c(ofRSA)), nil, 0},
		"for encryption not offered": {jwk(t, &rsaK.PublicKey, `,"alg":"RSA1_5"`+x5c(ofRSA)), nil, 0},
		"for Ed25519":                {jwk(t, ed.Public(), `,"alg":"Ed25519"`+x5c(ofEd)), ofEd, 1},
		"an alg that is no string":   {jwk(t, &ec.PublicKey, `,"alg":1`+x5c(ofEC)), nil, 0},
		"a private key":              {jwk(t, &ec.PublicKey, `,"d":"AAAA"`+x5c(ofEC)), nil, 0},
		"no array":                   {jwk(t, &ec.PublicKey, `,"x5c":"`+std+`"`), nil, 1},
		"base64url":                  {jwk(t, &ec.PublicKey, `,"x5c":["`+base64.URLEncoding.EncodeToString(append(ofEC.Raw, 0xff, 0xff))+`"]`), nil, 1},
		"no certificate":             {jwk(t, &ec.PublicKey, `,"x5c":["AAAA"]`), nil, 1},
		"something behind it":        {jwk(t, &ec.PublicKey, `,"x5c":["`+base64.StdEncoding.EncodeToString(append(ofEC.Raw[:len(ofEC.Raw):len(ofEC.Raw)], 0))+`"]`), nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := jose.ParseKeySet([]byte(`{"keys":[`+test.key+`]}`), 1)
			if err != nil || len(set.Keys) != test.keys {
				t.Fatalf("%d keys, %v", len(set.Keys), err)
			}
			if got := len(set.Certificates); test.want == nil && got > 0 || test.want != nil && (got != 1 || !set.Certificates[0].Equal(test.want)) {
				t.Errorf("%d certificates", got)
			}
		})
	}
}
