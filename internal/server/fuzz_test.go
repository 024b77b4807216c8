package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzForwarded demands of every certificate that is read from a proxy's header that it stands there byte for byte (or, of
// Envoy's, its hash), and that the same header sent twice, or joined with another, is refused.
func FuzzForwarded(f *testing.F) {
	names := []string{clientCert, forwardedClientCert, "X-Ssl-Client-Cert"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{{Scheme: "urn", Opaque: "a;Cert=b"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	sum, escaped := sha256.Sum256(der), url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	element, sequence := "Hash="+hex.EncodeToString(sum[:])+`;Cert="`+escaped+`"`, ":"+base64.StdEncoding.EncodeToString(der)+":"
	for _, chain := range []string{"", sequence, sequence + ", " + sequence, ","} {
		f.Add(uint8(0), sequence, chain)
	}
	for _, more := range []string{"", ";Chain=" + escaped + escaped, `;Subject="CN=\"a\\"`, ";URI=urn:a;Cert=b", ",", ";", `"`, "=", ";=;"} {
		f.Add(uint8(1), element+more, "")
	}
	f.Add(uint8(1), `Cert="`+escaped+`"`, "")
	for _, text := range []string{escaped, escaped + escaped, "%0A" + escaped, escaped + "%", strings.ReplaceAll(escaped, "%2B", "+"), "(null)"} {
		f.Add(uint8(2), text, "")
	}
	f.Fuzz(func(t *testing.T, which uint8, value, list string) {
		name := names[int(which)%len(names)]
		h := http.Header{name: {value}}
		if list != "" {
			h[clientCertChain] = []string{list}
		}
		chain, err := forwarded(h, name)
		if err != nil {
			return
		}
		if len(chain) == 0 {
			t.Fatalf("%q: neither a certificate nor a refusal", value)
		}
		sum, first := sha256.Sum256(chain[0].Raw), base64.StdEncoding.EncodeToString(chain[0].Raw)
		text, stands := value, false
		if name == forwardedClientCert { // where a backslash may stand before any character
			text = strings.ReplaceAll(text, `\`, "")
		}
		if name == forwardedClientCert && strings.Contains(text, ";") { // more than a certificate alone
			stands = strings.Contains(strings.ToLower(text), hex.EncodeToString(sum[:]))
		} else if plain, err := url.PathUnescape(text); err == nil {
			stands = strings.Contains(strings.Join(strings.Fields(plain), ""), first)
		}
		if !stands {
			t.Fatalf("%q: the certificate %s does not stand there", value, first)
		}
		for what, values := range map[string][]string{
			"twice": {value, value}, "joined": {value + "," + value}, "appended to": {value + ", x"}, "prepended to": {"x, " + value},
		} {
			if chain, err := forwarded(http.Header{name: values}, name); err == nil {
				t.Fatalf("%q, %s: %d certificates", value, what, len(chain))
			}
		}
	})
}
