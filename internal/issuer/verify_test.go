package issuer

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"

	"github.com/google/go-cmp/cmp"
)

// TestAccepted: what the guide of seed 002 sends, and all that RFC 7523 and the records leave to an issuer.
func TestAccepted(t *testing.T) {
	key := ecSigner("k1")
	for name, test := range map[string]struct {
		record func(*Issuer)
		by     signer
		edits  []edit
		says   string // the subject, where it is not the issuer
	}{
		"seed 002, the request":                  {by: key},
		"seed 002, typ":                          {by: key, edits: []edit{set("typ", "JWT")}},
		"seed 002, aud of the record":            {func(i *Issuer) { i.Audiences = []string{"stg"} }, key, []edit{with("aud", "stg")}, ""},
		"JB-03 the token endpoint as aud":        {by: key, edits: []edit{with("aud", endpoint)}},
		"JB-03 one of several audiences":         {by: key, edits: []edit{with("aud", []string{"another", server})}},
		"CC-08 exp exactly 15 min ahead":         {by: key, edits: []edit{with("exp", t0.Unix()+900)}},
		"GEN-17 exp 9 s ago":                     {by: key, edits: []edit{with("exp", t0.Unix()-9)}},
		"GEN-17 iat and nbf 30 s ahead":          {by: key, edits: []edit{with("iat", t0.Unix()+30), with("nbf", t0.Unix()+30)}},
		"RFC 7519 a fraction of a second":        {by: key, edits: []edit{with("exp", float64(t0.Unix())+60.5)}},
		"no iat":                                 {by: key, edits: []edit{with("iat", nil)}},
		"a jti":                                  {by: key, edits: []edit{with("jti", "j1")}},
		"a jti where it is demanded":             {func(i *Issuer) { i.RequireJTI = true }, key, []edit{with("jti", "j1")}, ""},
		"other claims":                           {by: key, edits: []edit{with("tenant", object{"name": "x"})}},
		"a subject of the record":                {func(i *Issuer) { i.Subjects = []string{"auditor"} }, key, []edit{with("sub", "auditor")}, "auditor"},
		"JB-04 the second of two keys":           {func(i *Issuer) { i.JWKS = []byte(jwks(ecSigner("k0"), key)) }, key, nil, ""},
		"two algorithms, by the record":          {both, rsaSigner("rsa"), nil, ""},
		"two algorithms, the other":              {both, edSigner("ed"), nil, ""},
		"a record that lets exp lie a minute on": {func(i *Issuer) { i.MaxLifetime = time.Minute }, key, []edit{with("exp", t0.Unix()+60)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			i := trusted(gateway, key)
			if test.record != nil {
				test.record(&i)
			}
			b := newBench(t, i)
			a := b.accepts(assertionBy(test.by, test.edits...))
			want := gateway
			if test.says != "" {
				want = test.says
			}
			if a.Subject != want || a.Issuer.Name != gateway || a.Use.Kind != replay.AssertionGrant {
				t.Errorf("%+v", a)
			}
		})
	}
}

// both lets an issuer sign with two other algorithms.
func both(i *Issuer) {
	i.Algs = []jose.Alg{jose.PS256, jose.EdDSA}
	i.JWKS = []byte(jwks(rsaSigner("rsa"), edSigner("ed")))
}

// TestRefusedInPlainWords: what is wrong with an assertion whoever signed it.
func TestRefusedInPlainWords(t *testing.T) {
	key := ecSigner("k1")
	good := assertionBy(key)
	claim := func(name string, value any) string { return assertionBy(key, with(name, value)) }
	header := func(name string, value any) string { return assertionBy(key, set(name, value)) }
	for name, test := range map[string]struct {
		compact string
		want    oauth.Reason
	}{
		"not three segments":             {"a.b", oauth.AssertionGrantMalformed},
		"CA-50 padding":                  {strings.Replace(good, ".", "=.", 1), oauth.AssertionGrantMalformed},
		"CA-52 a line break":             {good + "\n", oauth.AssertionGrantMalformed},
		"CA-55 a signature of 63 bytes":  {good[:strings.LastIndexByte(good, '.')+1] + b64(make([]byte, 63)), oauth.AssertionGrantMalformed},
		"a claim twice":                  {key.Sign(`{"alg":"ES256","kid":"k1"}`, `{"iss":"a","iss":"`+gateway+`"}`), oauth.AssertionGrantMalformed},
		"too long":                       {claim("more", strings.Repeat("m", 16<<10)), oauth.AssertionGrantMalformed},
		"a key in the header":            {header("jwk", key.JWK()), oauth.AssertionGrantMalformed},
		"a URL of keys":                  {header("jku", "https://keys.example"), oauth.AssertionGrantMalformed},
		"crit":                           {header("crit", []string{"exp"}), oauth.AssertionGrantMalformed},
		"alg none":                       {header("alg", "none"), oauth.AssertionGrantAlg},
		"alg ES384":                      {header("alg", "ES384"), oauth.AssertionGrantAlg},
		"alg RS256":                      {header("alg", "RS256"), oauth.AssertionGrantAlg},
		"CC-10 HS256 by the public key":  {underSharedSecret(key), oauth.AssertionGrantAlg},
		"JB-07 an access token":          {header("typ", "at+jwt"), oauth.AssertionGrantTyp},
		"JB-07 a request object":         {header("typ", "oauth-authz-req+jwt"), oauth.AssertionGrantTyp},
		"JB-07 a client assertion":       {header("typ", "client-authentication+jwt"), oauth.AssertionGrantTyp},
		"JB-07 a proof":                  {header("typ", "dpop+jwt"), oauth.AssertionGrantTyp},
		"JB-07 an introspection answer":  {header("typ", "token-introspection+jwt"), oauth.AssertionGrantTyp},
		"CC-09 no kid":                   {header("kid", nil), oauth.AssertionGrantKid},
		"CC-09 an empty kid":             {header("kid", ""), oauth.AssertionGrantMalformed},
		"CC-09 a kid that is no string":  {header("kid", 7), oauth.AssertionGrantMalformed},
		"no iss":                         {claim("iss", nil), oauth.AssertionGrantParties},
		"CA-69 iss in an array":          {claim("iss", []string{gateway}), oauth.AssertionGrantParties},
		"no sub":                         {claim("sub", nil), oauth.AssertionGrantParties},
		"an empty sub":                   {claim("sub", ""), oauth.AssertionGrantParties},
		"sub is a number":                {claim("sub", 7), oauth.AssertionGrantParties},
		"a sub of 257 bytes":             {claim("sub", strings.Repeat("s", 257)), oauth.AssertionGrantParties},
		"no exp":                         {claim("exp", nil), oauth.AssertionGrantLifetime},
		"exp is a string":                {claim("exp", "1760000060"), oauth.AssertionGrantLifetime},
		"CC-08 exp 16 min ahead":         {claim("exp", t0.Unix()+960), oauth.AssertionGrantLifetime},
		"CC-08 exp 1 s beyond 15 min":    {claim("exp", t0.Unix()+901), oauth.AssertionGrantLifetime},
		"exp 10 s ago":                   {claim("exp", t0.Unix()-10), oauth.AssertionGrantExpired},
		"iat 31 s ahead":                 {claim("iat", t0.Unix()+31), oauth.AssertionGrantNotYet},
		"iat is a string":                {claim("iat", "now"), oauth.AssertionGrantNotYet},
		"nbf 31 s ahead":                 {claim("nbf", t0.Unix()+31), oauth.AssertionGrantNotYet},
		"an empty jti":                   {claim("jti", ""), oauth.AssertionGrantID},
		"jti is a number":                {claim("jti", 7), oauth.AssertionGrantID},
		"jti null":                       {key.Sign(`{"alg":"ES256","kid":"k1"}`, `{"iss":"g","sub":"g","exp":1760000060,"jti":null}`), oauth.AssertionGrantID},
		"a jti of 1025 bytes":            {claim("jti", strings.Repeat("j", 1025)), oauth.AssertionGrantID},
		"the same, of an issuer unknown": {assertionBy(key, with("iss", "nobody"), with("jti", "")), oauth.AssertionGrantID},
	} {
		t.Run(name, func(t *testing.T) { newBench(t, trusted(gateway, key)).refuses(test.compact, test.want) })
	}
}

// underSharedSecret is an assertion that takes the public key for the secret of an HMAC.
func underSharedSecret(s signer) string {
	input := b64([]byte(`{"alg":"HS256","kid":"`+s.Kid+`"}`)) + "." + strings.Split(assertionBy(s), ".")[1]
	mac := hmac.New(sha256.New, []byte(text(s.JWK())))
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// TestNotProven: whatever in our records is the cause, the answer is one and the same, and the log has the cause.
func TestNotProven(t *testing.T) {
	key, other, rsa := ecSigner("k1"), ecSigner("k2"), rsaSigner("rsa")
	forger := ecSigner("k1")
	uses := trusted(gateway, key, rsa) // has a key for PS256, and no right to it
	b := newBench(t, uses, trusted("gateway-2", other))
	b.book.clients = append(b.book.clients, "client-9")
	sentences := map[string]bool{}
	for name, test := range map[string]struct {
		compact, cause string
	}{
		"CC-06 iss unknown":                      {assertionBy(key, with("iss", "nobody")), "not trusted"},
		"CC-06 iss in capitals":                  {assertionBy(key, with("iss", strings.ToUpper(gateway))), "not trusted"},
		"CC-06 iss with a space behind":          {assertionBy(key, with("iss", gateway+" ")), "not trusted"},
		"CA-62 iss with a NUL behind":            {assertionBy(key, with("iss", gateway+"\x00")), "not trusted"},
		"CC-13 a client that asserts for itself": {assertionBy(key, with("iss", "client-9"), with("sub", "anybody")), "not trusted"},
		"JB-04 a kid that is nobody's":           {assertionBy(key, set("kid", "k9")), "no such key"},
		"JB-04 a kid of another issuer":          {assertionBy(other), "no such key"},
		"a kid in capitals":                      {assertionBy(key, set("kid", "K1")), "no such key"},
		"a forged signature":                     {assertionBy(forger), "could not be verified"},
		"CA-54 a signature of zeros":             {withoutSignature(assertionBy(key)), "could not be verified"},
		"an algorithm that is not the issuer's":  {assertionBy(rsa), "does not name PS256"},
		"another key of the set":                 {assertionBy(key, set("alg", "PS256"), set("kid", "rsa")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.cause == "" { // the door holds the length of the signature against the algorithm
				b.refuses(test.compact, oauth.AssertionGrantMalformed)
				return
			}
			refusal := b.refuses(test.compact, oauth.AssertionGrantNotProven)
			if !strings.Contains(refusal.Cause.Error(), test.cause) {
				t.Errorf("the log has %v", refusal.Cause)
			}
			sentences[refusal.Description] = true
		})
	}
	if len(sentences) != 1 {
		t.Errorf("different sentences: %v", sentences)
	}
}

func withoutSignature(compact string) string {
	return compact[:strings.LastIndexByte(compact, '.')+1] + b64(make([]byte, 64))
}

// TestRefusedByTheRecord: an issuer that is proven is told what its record does not allow.
func TestRefusedByTheRecord(t *testing.T) {
	key := ecSigner("k1")
	for name, test := range map[string]struct {
		record func(*Issuer)
		edits  []edit
		want   oauth.Reason
	}{
		"no aud":                                {nil, []edit{with("aud", nil)}, oauth.AssertionGrantAudience},
		"another server":                        {nil, []edit{with("aud", "https://other.example")}, oauth.AssertionGrantAudience},
		"the issuer with a slash":               {nil, []edit{with("aud", server+"/")}, oauth.AssertionGrantAudience},
		"an array of others":                    {nil, []edit{with("aud", []string{"a", "b"})}, oauth.AssertionGrantAudience},
		"an array with more than strings":       {nil, []edit{with("aud", []any{server, nil})}, oauth.AssertionGrantAudience},
		"an empty array":                        {nil, []edit{with("aud", []string{})}, oauth.AssertionGrantAudience},
		"an object":                             {nil, []edit{with("aud", object{"x": server})}, oauth.AssertionGrantAudience},
		"the issuer, where the record says stg": {func(i *Issuer) { i.Audiences = []string{"stg"} }, nil, oauth.AssertionGrantAudience},
		"stg, where the record says nothing":    {nil, []edit{with("aud", "stg")}, oauth.AssertionGrantAudience},
		"longer than the record lets it":        {func(i *Issuer) { i.MaxLifetime = time.Minute }, []edit{with("exp", t0.Unix()+61)}, oauth.AssertionGrantLifetime},
		"no jti":                                {func(i *Issuer) { i.RequireJTI = true }, nil, oauth.AssertionGrantID},
		"CC-13 an arbitrary subject":            {nil, []edit{with("sub", "anybody")}, oauth.AssertionGrantSubject},
		"the issuer, who is not of the record":  {func(i *Issuer) { i.Subjects = []string{"auditor"} }, nil, oauth.AssertionGrantSubject},
		"CC-11 a person, for whom consent is":   {nil, []edit{with("sub", "_alex")}, oauth.AssertionGrantSubject},
		"CC-11 a person, even by the record":    {func(i *Issuer) { i.Subjects = []string{"_alex"} }, []edit{with("sub", "_alex")}, oauth.AssertionGrantSubject},
		"CC-03 the client itself":               {func(i *Issuer) { i.Subjects = []string{c1} }, []edit{with("sub", c1)}, oauth.AssertionGrantSubject},
		"CC-03 another client":                  {func(i *Issuer) { i.Subjects = []string{"c2"} }, []edit{with("sub", "c2")}, oauth.AssertionGrantSubject},
		"JB-07 a client as issuer":              {func(i *Issuer) { i.Name = c1 }, []edit{with("iss", c1), with("sub", c1)}, oauth.AssertionGrantSubject},
	} {
		t.Run(name, func(t *testing.T) {
			i := trusted(gateway, key)
			if test.record != nil {
				test.record(&i)
			}
			newBench(t, i).refuses(assertionBy(key, test.edits...), test.want)
		})
	}
}

// TestUse (CC-07, CA-56): what an assertion uses up is its jti; without one, what was signed, and of ES256 the half of the
// signature that nobody but the issuer can change.
func TestUse(t *testing.T) {
	key, rsa, ed := ecSigner("k1"), rsaSigner("rsa"), edSigner("ed")
	i := trusted(gateway, key, rsa, ed)
	i.Algs = []jose.Alg{jose.ES256, jose.PS256, jose.EdDSA}
	second := i
	second.Name = "gateway-2"
	b := newBench(t, i, second)
	use := func(compact string) replay.Use { t.Helper(); return b.accepts(compact).Use }
	header, claims := `{"alg":"ES256","kid":"k1"}`, `{"iss":"`+gateway+`","sub":"`+gateway+`","aud":"`+server+`","exp":1760000180}`
	one, two := key.Sign(header, claims), key.Sign(header, claims)
	for name, pair := range map[string]struct {
		one, two string
		same     bool
	}{
		"CC-07 the same, again":                     {one, one, true},
		"CC-07 one jti, another moment":             {assertionBy(key, with("jti", "j")), assertionBy(key, with("jti", "j"), with("iat", nil)), true},
		"CC-07 one jti, another algorithm":          {assertionBy(key, with("jti", "j")), assertionBy(ed, with("jti", "j")), true},
		"CA-56 the other signature of r":            {one, malleated(t, one), true},
		"CA-56 the same with a jti":                 {assertionBy(key, with("jti", "j")), malleated(t, assertionBy(key, with("jti", "j"))), true},
		"two honest ones of one second":             {one, two, false},
		"PS256: what was signed, however":           {assertionBy(rsa), assertionBy(rsa), true},
		"EdDSA: there is one signature":             {assertionBy(ed), assertionBy(ed), true},
		"two jti":                                   {assertionBy(key, with("jti", "j")), assertionBy(key, with("jti", "k")), false},
		"one jti of two issuers":                    {assertionBy(key, with("jti", "j")), assertionBy(key, with("jti", "j"), with("iss", "gateway-2"), with("sub", "gateway-2")), false},
		"a jti that is like the mark of no jti":     {assertionBy(key, with("jti", mark(one))), one, false},
		"a jti that is like another, with its mark": {assertionBy(key, with("jti", "jti j")), assertionBy(key, with("jti", "j")), false},
	} {
		if got := use(pair.one) == use(pair.two); got != pair.same {
			t.Errorf("%s: one use %v", name, got)
		}
	}
	want := replay.NewUse(replay.AssertionGrant, gateway, "jti j", t0.Add(3*time.Minute))
	if got := use(assertionBy(key, with("jti", "j"))); got != want {
		t.Errorf("the use is %v, want %v", got, want)
	}
}

// malleated is an ES256 JWS with n−s in the place of s, which verifies just as well.
func malleated(t *testing.T, compact string) string {
	t.Helper()
	at := strings.LastIndexByte(compact, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(compact[at:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:]))
	other := compact[:at] + b64(append(signature[:32:32], s.FillBytes(make([]byte, 32))...))
	if other == compact {
		t.Fatal("it is the same")
	}
	return other
}

// mark is the hash by which an assertion without a jti is known.
func mark(compact string) string {
	parts := strings.Split(compact, ".")
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256(append([]byte(parts[0]+"."+parts[1]), signature[:32]...))
	return b64(sum[:])
}

// TestRemovedAndAddedAgain: the keys of an issuer that was removed never serve another of its name.
func TestRemovedAndAddedAgain(t *testing.T) {
	old, fresh := ecSigner("k1"), ecSigner("k1")
	b := newBench(t, trusted(gateway, old))
	b.accepts(assertionBy(old))
	delete(b.book.issuers, gateway)
	b.refuses(assertionBy(old), oauth.AssertionGrantNotProven)
	b.book.put(trusted(gateway, fresh))
	b.refuses(assertionBy(old), oauth.AssertionGrantNotProven)
	b.accepts(assertionBy(fresh))
}

// TestRemovedAndAddedAgainByURI: so it is where the keys stand behind a jwks_uri, before anybody would ask that again.
func TestRemovedAndAddedAgainByURI(t *testing.T) {
	old, fresh := ecSigner("k1"), ecSigner("k1")
	var published atomic.Value
	published.Store(jwks(old))
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(published.Load().(string)))
	}))
	defer host.Close()
	i := trusted(gateway)
	i.JWKS, i.JWKSURI = nil, host.URL
	b := newBench(t, i)
	b.accepts(assertionBy(old))
	published.Store(jwks(fresh))
	delete(b.book.issuers, gateway)
	b.refuses(assertionBy(old), oauth.AssertionGrantNotProven)
	b.book.put(i)
	b.refuses(assertionBy(old), oauth.AssertionGrantNotProven)
	b.accepts(assertionBy(fresh))
}

// TestKeysBehindURI: keys are fetched as those of clients are, once.
func TestKeysBehindURI(t *testing.T) {
	key := ecSigner("k1")
	var hits atomic.Int32
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		_, _ = w.Write([]byte(jwks(key)))
	}))
	defer host.Close()
	i := trusted(gateway)
	i.JWKS, i.JWKSURI = nil, host.URL
	b := newBench(t, i)
	b.accepts(assertionBy(key))
	b.accepts(assertionBy(key))
	if hits.Load() != 1 {
		t.Errorf("%d fetches", hits.Load())
	}
}

// TestOffers: the first issuer is good from its commit, and the metadata follow with the next look.
func TestOffers(t *testing.T) {
	b := newBench(t)
	offers := func() bool {
		t.Helper()
		ok, err := b.Offers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if b.Offered() || offers() || b.Offered() {
		t.Error("offered without an issuer")
	}
	b.book.put(trusted(gateway, ecSigner("k1")))
	if b.Offered() || !offers() || !b.Offered() {
		t.Error("not offered with an issuer")
	}
	looks := b.book.looks
	if !offers() || b.book.looks != looks {
		t.Error("what is known was asked for again")
	}
	delete(b.book.issuers, gateway)
	if err := b.Refresh(t.Context()); err != nil || b.Offered() || offers() {
		t.Error("offered after the last issuer is gone", err)
	}
	b.book.down = errors.New("down")
	if _, err := b.Offers(t.Context()); err != b.book.down {
		t.Error(err)
	}
}

// TestStoreIsDown: then nothing is refused as if it were the issuer's fault.
func TestStoreIsDown(t *testing.T) {
	key := ecSigner("k1")
	b := newBench(t, trusted(gateway, key))
	b.book.down = errors.New("down")
	a, err := b.Verify(t.Context(), assertionBy(key), t0)
	if err != b.book.down {
		t.Error(err)
	}
	if diff := cmp.Diff(Assertion{}, a); diff != "" {
		t.Error(diff)
	}
}
