package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// certificates makes certificates of which the last vouches for all.
func certificates(t testing.TB, n int) []*x509.Certificate {
	t.Helper()
	made := make([]*x509.Certificate, n)
	var by *ecdsa.PrivateKey
	for i := n - 1; i >= 0; i-- {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: by == nil, Subject: pkix.Name{CommonName: fmt.Sprint(i + 1)},
		}
		parent := made[n-1]
		if by == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		if made[i], err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// sequence is a certificate as RFC 9440 has it.
func sequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

// inPEM is a row of certificates in PEM.
func inPEM(chain ...*x509.Certificate) string {
	var text strings.Builder
	for _, c := range chain {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return text.String()
}

// escaped is that as nginx and Envoy write it.
func escaped(chain ...*x509.Certificate) string { return url.PathEscape(inPEM(chain...)) }

func digest(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// seen sends a request with these headers, and the proxy's own certificate, to a server that reads one of them, and returns
// the serial numbers of what its handler sees, or the reason of the refusal.
func seen(t *testing.T, header, remote string, fields http.Header, own ...*x509.Certificate) string {
	t.Helper()
	var shown []string
	s, _ := answering(func(_ http.ResponseWriter, r *http.Request) error {
		if r.TLS != nil {
			for _, c := range r.TLS.PeerCertificates {
				shown = append(shown, c.SerialNumber.String())
			}
		}
		for name := range fields {
			if _, there := r.Header[name]; there && (header != name && (header != "Client-Cert" || name != "Client-Cert-Chain") || !strings.HasPrefix(remote, "10.")) {
				t.Errorf("the handler sees %s", name)
			}
		}
		return nil
	})
	s.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	s.MutualTLS.Header = header
	r, w := httptest.NewRequest(http.MethodGet, "/demo/accounts", nil), httptest.NewRecorder()
	r.RemoteAddr, r.Header = remote, fields
	if own != nil {
		r.TLS = &tls.ConnectionState{PeerCertificates: own}
	}
	before := len(fields)
	s.Handler().ServeHTTP(w, r)
	if len(fields) != before || own != nil && len(r.TLS.PeerCertificates) != len(own) {
		t.Error("the request was changed")
	}
	if w.Code == http.StatusOK {
		return strings.Join(shown, ",")
	}
	var refusal struct {
		Code string `json:"error"`
		URI  string `json:"error_uri"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil || w.Code != http.StatusUnauthorized || refusal.Code != "invalid_client" || shown != nil {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	return refusal.URI[strings.LastIndex(refusal.URI, "/")+1:]
}

const (
	aProxy  = "10.0.0.1:1234"
	aClient = "203.0.113.7:1234"
	refused = "certificate_refused"
)

// Which certificate the client has, by the word of a proxy: TL-02 nobody else's word, TL-03 never one of several, and what
// cannot be read is refused, not taken for none.
func TestForwardedCertificate(t *testing.T) {
	c := certificates(t, 3)
	leaf, other, between := c[0], c[1], c[2]
	rfc, envoy, nginx := "Client-Cert", "X-Forwarded-Client-Cert", "X-Ssl-Client-Cert"
	element := "Hash=" + digest(leaf) + `;Cert="` + escaped(leaf) + `"`
	whole := "Hash=" + digest(leaf) + `;Cert="` + escaped(leaf) + `";Chain="` + escaped(leaf, between) + `"`
	for name, test := range map[string]struct {
		header string // the setting
		fields http.Header
		want   string
	}{
		"RFC 9440":                           {rfc, http.Header{rfc: {sequence(leaf)}}, "1"},
		"RFC 9440: spaces around":            {rfc, http.Header{rfc: {"  " + sequence(leaf) + " "}}, "1"},
		"RFC 9440: a chain":                  {rfc, http.Header{rfc: {sequence(leaf)}, rfc + "-Chain": {sequence(between) + ", " + sequence(other)}}, "1,3,2"},
		"RFC 9440: a chain of two fields":    {rfc, http.Header{rfc: {sequence(leaf)}, rfc + "-Chain": {sequence(between), sequence(other)}}, "1,3,2"},
		"RFC 9440: none":                     {rfc, http.Header{}, ""},
		"TL-03 RFC 9440: two headers":        {rfc, http.Header{rfc: {sequence(other), sequence(leaf)}}, refused},
		"TL-03 RFC 9440: twice the same":     {rfc, http.Header{rfc: {sequence(leaf), sequence(leaf)}}, refused},
		"TL-03 RFC 9440: one and an empty":   {rfc, http.Header{rfc: {"", sequence(leaf)}}, refused},
		"TL-03 RFC 9440: two in one header":  {rfc, http.Header{rfc: {sequence(other) + ", " + sequence(leaf)}}, refused},
		"RFC 9440: a chain alone":            {rfc, http.Header{rfc + "-Chain": {sequence(leaf)}}, refused},
		"RFC 9440: an empty chain alone":     {rfc, http.Header{rfc + "-Chain": {""}}, refused},
		"RFC 9440: an empty header":          {rfc, http.Header{rfc: {""}}, refused},
		"RFC 9440: nothing between colons":   {rfc, http.Header{rfc: {"::"}}, refused},
		"RFC 9440: one colon":                {rfc, http.Header{rfc: {":"}}, refused},
		"RFC 9440: parameters":               {rfc, http.Header{rfc: {sequence(leaf) + ";a=1"}}, refused},
		"RFC 9440: no colons":                {rfc, http.Header{rfc: {strings.Trim(sequence(leaf), ":")}}, refused},
		"RFC 9440: base64url":                {rfc, http.Header{rfc: {":" + base64.URLEncoding.EncodeToString([]byte("\xff\xff\xff")) + ":"}}, refused},
		"RFC 9440: a space within (folded)":  {rfc, http.Header{rfc: {sequence(leaf)[:80] + " " + sequence(leaf)[80:]}}, refused},
		"RFC 9440: no certificate":           {rfc, http.Header{rfc: {":AAAA:"}}, refused},
		"RFC 9440: one byte more":            {rfc, http.Header{rfc: {":" + base64.StdEncoding.EncodeToString(append(leaf.Raw[:len(leaf.Raw):len(leaf.Raw)], 0)) + ":"}}, refused},
		"RFC 9440: a chain with a gap":       {rfc, http.Header{rfc: {sequence(leaf)}, rfc + "-Chain": {sequence(between) + ",," + sequence(other)}}, refused},
		"RFC 9440: a chain that is rubbish":  {rfc, http.Header{rfc: {sequence(leaf)}, rfc + "-Chain": {"rubbish"}}, refused},
		"RFC 9440: PEM":                      {rfc, http.Header{rfc: {escaped(leaf)}}, refused},
		"RFC 9440 is not what was agreed on": {envoy, http.Header{rfc: {sequence(leaf)}, rfc + "-Chain": {sequence(between)}}, ""},

		"Envoy":                                     {envoy, http.Header{envoy: {element}}, "1"},
		"Envoy: a chain":                            {envoy, http.Header{envoy: {whole}}, "1,3"},
		"Envoy: a chain without Cert":               {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + `;Chain="` + escaped(leaf, between) + `"`}}, "1,3"},
		"Envoy: names of another case":              {envoy, http.Header{envoy: {strings.NewReplacer("Hash", "hash", "Cert", "CERT").Replace(element)}}, "1"},
		"Envoy: everything":                         {envoy, http.Header{envoy: {`By=spiffe://as;` + element + `;Subject="CN=a, \"b\";c";URI=urn:a;URI=urn:b;DNS=a;DNS=b`}}, "1"},
		"Envoy: none":                               {envoy, http.Header{}, ""},
		"TL-03 Envoy: two headers":                  {envoy, http.Header{envoy: {element, element}}, refused},
		"TL-03 Envoy: two elements":                 {envoy, http.Header{envoy: {"Hash=" + digest(other) + ";Cert=" + escaped(other) + "," + element}}, refused},
		"TL-03 Envoy: two elements, one empty":      {envoy, http.Header{envoy: {"," + element}}, refused},
		"TL-03 Envoy: a comma at the end":           {envoy, http.Header{envoy: {element + ","}}, refused},
		"TL-03 Envoy: two certificates":             {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + ";Cert=" + escaped(leaf) + ";Cert=" + escaped(other)}}, refused},
		"Envoy: a URI that passes for a Cert":       {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + ";URI=urn:a;Cert=" + escaped(other)}}, refused},
		"Envoy: a URI that passes for Hash too":     {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + ";URI=urn:a;Hash=" + digest(other) + ";Cert=" + escaped(other)}}, refused},
		"Envoy: a URI that passes for a Chain":      {envoy, http.Header{envoy: {element + ";URI=urn:a;Chain=" + escaped(other)}}, refused},
		"Envoy: a URI that passes for Cert's other": {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + ";Chain=" + escaped(leaf) + ";URI=urn:a;Cert=" + escaped(other)}}, refused},
		"Envoy: no Hash":                            {envoy, http.Header{envoy: {"By=urn:as;Cert=" + escaped(leaf)}}, refused},
		"TL-03 Envoy: two in Cert":                  {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + `;Cert="` + escaped(leaf, between) + `"`}}, refused},
		"Envoy: no Hash, and a URI behind":          {envoy, http.Header{envoy: {"Cert=" + escaped(leaf) + ";URI=urn:a"}}, refused},
		"Envoy: no Hash, and a chain":               {envoy, http.Header{envoy: {"Cert=" + escaped(leaf) + ";Chain=" + escaped(leaf)}}, refused},
		"Envoy: a chain alone":                      {envoy, http.Header{envoy: {"Chain=" + escaped(leaf)}}, refused},
		"nginx, as Envoy: Cert alone":               {envoy, http.Header{envoy: {`Cert="` + escaped(leaf) + `"`}}, "1"},
		"nginx, as Envoy: none":                     {envoy, http.Header{envoy: {`Cert=""`}}, refused},
		"TL-03 nginx, as Envoy: two":                {envoy, http.Header{envoy: {`Cert="` + escaped(other) + `",Cert="` + escaped(leaf) + `"`}}, refused},
		"TL-03 nginx, as Envoy: two members":        {envoy, http.Header{envoy: {`Cert="` + escaped(other) + `";Cert="` + escaped(leaf) + `"`}}, refused},
		"TL-03 nginx, as Envoy: two headers":        {envoy, http.Header{envoy: {`Cert="` + escaped(other) + `"`, `Cert="` + escaped(leaf) + `"`}}, refused},
		"Envoy: Hash alone":                         {envoy, http.Header{envoy: {"Hash=" + digest(leaf)}}, refused},
		"Envoy: Hash of another":                    {envoy, http.Header{envoy: {"Hash=" + digest(other) + ";Cert=" + escaped(leaf)}}, refused},
		"Envoy: an empty header":                    {envoy, http.Header{envoy: {""}}, refused},
		"Envoy: a semicolon at the end":             {envoy, http.Header{envoy: {element + ";"}}, refused},
		"Envoy: a quote that is not closed":         {envoy, http.Header{envoy: {strings.TrimSuffix(element, `"`)}}, refused},
		"Envoy: more behind a quote":                {envoy, http.Header{envoy: {element + "x"}}, refused},
		"Envoy: a quote that an escape keeps open":  {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + `;Cert="` + escaped(leaf) + `\"`}}, refused},
		"Envoy: not percent-encoded":                {envoy, http.Header{envoy: {"Hash=" + digest(leaf) + `;Cert="` + strings.ReplaceAll(inPEM(leaf), "\n", " ") + `"`}}, refused},
		"Envoy: the header of RFC 9440":             {envoy, http.Header{envoy: {sequence(leaf)}}, refused},

		"nginx":                             {nginx, http.Header{nginx: {escaped(leaf)}}, "1"},
		"nginx: everything encoded":         {nginx, http.Header{nginx: {url.QueryEscape(strings.ReplaceAll(inPEM(leaf), " ", "\x00"))}}, refused},
		"nginx: as QueryEscape, + for %20":  {nginx, http.Header{nginx: {url.QueryEscape(inPEM(leaf))}}, refused},
		"nginx: a plus left as it is":       {nginx, http.Header{nginx: {strings.ReplaceAll(escaped(leaf), "%2B", "+")}}, "1"},
		"a load balancer that sends all":    {nginx, http.Header{nginx: {escaped(leaf, between)}}, "1,3"},
		"nginx: none":                       {nginx, http.Header{}, ""},
		"TL-03 nginx: two headers":          {nginx, http.Header{nginx: {escaped(other), escaped(leaf)}}, refused},
		"TL-03 nginx: two, joined":          {nginx, http.Header{nginx: {escaped(other) + ", " + escaped(leaf)}}, refused},
		"TL-03 nginx: two, folded":          {nginx, http.Header{nginx: {escaped(other) + " " + escaped(leaf)}}, refused},
		"TL-03 nginx: one behind another":   {nginx, http.Header{nginx: {escaped(other) + escaped(leaf)}}, refused},
		"TL-03 nginx: twice the same":       {nginx, http.Header{nginx: {escaped(leaf, leaf)}}, refused},
		"TL-03 nginx: behind an authority":  {nginx, http.Header{nginx: {escaped(leaf, between, other)}}, refused},
		"nginx: an empty header":            {nginx, http.Header{nginx: {""}}, refused},
		"nginx: (null)":                     {nginx, http.Header{nginx: {"(null)"}}, refused},
		"nginx: folded, not encoded":        {nginx, http.Header{nginx: {strings.ReplaceAll(inPEM(leaf), "\n", " ")}}, refused},
		"nginx: cut short":                  {nginx, http.Header{nginx: {escaped(leaf)[:len(escaped(leaf))-40]}}, refused},
		"nginx: a percent alone":            {nginx, http.Header{nginx: {escaped(leaf) + "%"}}, refused},
		"nginx: text before":                {nginx, http.Header{nginx: {"x%0A" + escaped(leaf)}}, refused},
		"nginx: text between":               {nginx, http.Header{nginx: {escaped(leaf) + "x%0A" + escaped(between)}}, refused},
		"nginx: a block that is skipped":    {nginx, http.Header{nginx: {url.PathEscape("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n") + escaped(leaf)}}, refused},
		"nginx: a key":                      {nginx, http.Header{nginx: {strings.ReplaceAll(escaped(leaf), "CERTIFICATE", "PRIVATE%20KEY")}}, refused},
		"nginx: headers in the block":       {nginx, http.Header{nginx: {strings.Replace(escaped(leaf), "%0A", "%0AA:%20b%0A%0A", 1)}}, refused},
		"nginx: no certificate":             {nginx, http.Header{nginx: {url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})))}}, refused},
		"none is believed":                  {"", http.Header{rfc: {sequence(leaf)}, envoy: {element}, nginx: {escaped(leaf)}, "Ssl-Client-Cert": {escaped(leaf)}}, ""},
		"a name of the operator's":          {"X-Our-Client", http.Header{"X-Our-Client": {escaped(leaf)}, rfc: {sequence(other)}, envoy: {element}}, "1"},
		"a name of the operator's: rubbish": {"X-Our-Client", http.Header{"X-Our-Client": {"rubbish"}, rfc: {sequence(other)}}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			if got := seen(t, test.header, aProxy, test.fields.Clone()); got != test.want {
				t.Errorf("a proxy's word: %s, want %s", got, test.want)
			}
			if got := seen(t, test.header, aProxy, test.fields.Clone(), other); got != test.want {
				t.Errorf("with a certificate of the proxy's own: %s, want %s", got, test.want)
			}
			if got := seen(t, test.header, aClient, test.fields.Clone()); got != "" {
				t.Errorf("TL-02 a client's own word: %s", got)
			}
			if got := seen(t, test.header, aClient, test.fields.Clone(), other); got != "2" {
				t.Errorf("TL-02 a client's own word, over mutual TLS: %s", got)
			}
		})
	}
}

// A proxy's header about certificates is read where certificates count: what a person or anybody may read stays readable.
func TestPagesDoNotReadCertificates(t *testing.T) {
	s, _ := answering(nil)
	s.Proxies, s.MutualTLS.Header = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, "Client-Cert"
	r, w := httptest.NewRequest(http.MethodGet, "/errors/certificate_refused", nil), httptest.NewRecorder()
	r.RemoteAddr = aProxy
	r.Header.Set("Client-Cert", "rubbish")
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "certificate_refused") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
