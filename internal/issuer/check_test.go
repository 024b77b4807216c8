package issuer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

var vetting = client.Vetting{Own: []string{server}}

// TestCheckAccepts: a record with nothing but the defaults, the shape of seed 002, and the ends of every range.
func TestCheckAccepts(t *testing.T) {
	key := ecSigner("k1")
	for name, record := range map[string]func(*Issuer){
		"the defaults": func(*Issuer) {},
		"seed 002": func(i *Issuer) {
			i.Audiences, i.Subjects = []string{"stg"}, []string{"our_user_for_audit"}
			i.RequireClientAuthentication, i.RequireBinding = false, false
		},
		"keys behind a URL":        func(i *Issuer) { i.JWKS, i.JWKSURI = nil, "https://keys.example/jwks" },
		"keys of which one fits":   func(i *Issuer) { i.JWKS = json.RawMessage(jwks(key, rsaSigner("rsa"), object{"kty": "new"})) },
		"several clients":          func(i *Issuer) { i.Clients = []string{"a", "b"} },
		"an underscore, and a jti": func(i *Issuer) { i.Name, i.Subjects, i.RequireJTI = "_g", []string{"g_"}, true },
		"all algorithms":           func(i *Issuer) { i.Algs = []jose.Alg{jose.ES256, jose.PS256, jose.EdDSA} },
		"the shortest":             func(i *Issuer) { i.MaxLifetime, i.TokenLifetime = time.Second, 30*time.Second },
		"the longest names":        func(i *Issuer) { i.Name = strings.Repeat("n", 256) },
	} {
		i := trusted(gateway, key)
		record(&i)
		if wrong := i.Check(vetting); len(wrong) != 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

// TestCheckRefuses: each defect is told, by the name of its member.
func TestCheckRefuses(t *testing.T) {
	key := ecSigner("k1")
	private := key.JWK()
	private["d"] = b64(make([]byte, 32))
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprint("n", i))
		}
		return names
	}
	for name, test := range map[string]struct {
		record func(*Issuer)
		says   string
	}{
		"no name":                        {func(i *Issuer) { i.Name = "" }, "visible ASCII"},
		"a name that looks like another": {func(i *Issuer) { i.Name = "gаteway" }, "visible ASCII"},
		"a name with a space":            {func(i *Issuer) { i.Name = "gate way" }, "visible ASCII"},
		"a name too long":                {func(i *Issuer) { i.Name = strings.Repeat("n", 257) }, "256"},
		"this server":                    {func(i *Issuer) { i.Name = server }, "this server itself"},
		"like a person":                  {func(i *Issuer) { i.Name = "_g" }, "underscore"},
		"a subject like a person":        {func(i *Issuer) { i.Subjects = []string{"a", "_alex"} }, "_alex"},
		"a subject twice":                {func(i *Issuer) { i.Subjects = []string{"a", "a"} }, "subjects"},
		"a subject of nothing":           {func(i *Issuer) { i.Subjects = []string{""} }, "subjects"},
		"too many subjects":              {func(i *Issuer) { i.Subjects = many(101) }, "at most 100"},
		"no keys":                        {func(i *Issuer) { i.JWKS = nil }, "jwks"},
		"keys twice":                     {func(i *Issuer) { i.JWKSURI = "https://keys.example" }, "not in both"},
		"keys at an http URL":            {func(i *Issuer) { i.JWKS, i.JWKSURI = nil, "http://keys.example" }, "jwks_uri: it must be an https URL"},
		"keys at this server":            {func(i *Issuer) { i.JWKS, i.JWKSURI = nil, server+"/oauth2/jwks" }, "own host"},
		"keys at a private address":      {func(i *Issuer) { i.JWKS, i.JWKSURI = nil, "https://10.0.0.1/jwks" }, "not a public one"},
		"keys that are none":             {func(i *Issuer) { i.JWKS = json.RawMessage(`{"keys":{}}`) }, "jwks: "},
		"a private key":                  {func(i *Issuer) { i.JWKS = json.RawMessage(jwks(key, private)) }, "must not be used again"},
		"a key without a kid":            {func(i *Issuer) { i.JWKS = json.RawMessage(jwks(ecSigner(""))) }, "with a kid"},
		"two keys of one kid":            {func(i *Issuer) { i.JWKS = json.RawMessage(jwks(key, ecSigner("k1"))) }, "share the kid"},
		"a key of another algorithm":     {func(i *Issuer) { i.JWKS = json.RawMessage(jwks(rsaSigner("rsa"))) }, "ES256"},
		"no algorithm":                   {func(i *Issuer) { i.Algs = nil }, "algs"},
		"a shared secret":                {func(i *Issuer) { i.Algs = []jose.Alg{"ES256", "HS256"} }, "HS256"},
		"an algorithm by its other name": {func(i *Issuer) { i.Algs = []jose.Alg{"ES256", "Ed25519"} }, "Ed25519"},
		"an algorithm twice":             {func(i *Issuer) { i.Algs = []jose.Alg{"ES256", "ES256"} }, "each once"},
		"an audience with a space":       {func(i *Issuer) { i.Audiences = []string{"stg "} }, "audiences"},
		"too many audiences":             {func(i *Issuer) { i.Audiences = many(21) }, "at most 20"},
		"no lifetime":                    {func(i *Issuer) { i.MaxLifetime = 0 }, "max_lifetime"},
		"16 minutes":                     {func(i *Issuer) { i.MaxLifetime = 16 * time.Minute }, "max_lifetime"},
		"half a second":                  {func(i *Issuer) { i.MaxLifetime = 1500 * time.Millisecond }, "max_lifetime"},
		"tokens of 16 minutes":           {func(i *Issuer) { i.TokenLifetime = 16 * time.Minute }, "token_lifetime"},
		"tokens of 29 seconds":           {func(i *Issuer) { i.TokenLifetime = 29 * time.Second }, "token_lifetime"},
		"no client":                      {func(i *Issuer) { i.Clients = nil }, "clients"},
		"a client twice":                 {func(i *Issuer) { i.Clients = []string{"a", "a"} }, "clients"},
		"too many clients":               {func(i *Issuer) { i.Clients = many(21) }, "at most 20"},
		"two clients, and none must prove itself": {func(i *Issuer) {
			i.Clients, i.RequireClientAuthentication = []string{"a", "b"}, false
		}, "the one that gets the tokens"},
		"CC-03 the client's own name":   {func(i *Issuer) { i.Name = c1 }, "could not be told apart"},
		"CC-03 its client as subject":   {func(i *Issuer) { i.Subjects = []string{c1} }, "could not be told apart"},
		"no scope":                      {func(i *Issuer) { i.Scopes = nil }, "scopes"},
		"a scope with a quote":          {func(i *Issuer) { i.Scopes = oauth.Scope{`a"b`} }, "scopes"},
		"CC-11 a scope of FDX":          {func(i *Issuer) { i.Scopes = oauth.Scope{"a", "fdx:accountbasic:read"} }, "fdx:accountbasic:read"},
		"CC-11 openid":                  {func(i *Issuer) { i.Scopes = oauth.Scope{"a", "openid"} }, "openid"},
		"CC-11 offline_access":          {func(i *Issuer) { i.Scopes = oauth.Scope{"a", "offline_access"} }, "offline_access"},
		"CC-11 a scope of registration": {func(i *Issuer) { i.Scopes = oauth.Scope{"a", "client.create"} }, "client.create"},
	} {
		t.Run(name, func(t *testing.T) {
			i := trusted(gateway, key)
			test.record(&i)
			wrong := i.Check(vetting)
			if len(wrong) != 1 || !strings.Contains(wrong[0].Error(), test.says) {
				t.Errorf("says %q, want one with %q", wrong, test.says)
			}
		})
	}
}

// TestCheckTellsAll: who wrote a record learns all that is wrong with it at once.
func TestCheckTellsAll(t *testing.T) {
	if wrong := (Issuer{}).Check(vetting); len(wrong) != 7 {
		t.Errorf("%d: %q", len(wrong), wrong)
	}
	if wrong := (Issuer{}).CheckBesideKeys(vetting); len(wrong) != 6 || strings.Contains(fmt.Sprint(wrong), "keys") {
		t.Errorf("%d: %q", len(wrong), wrong)
	}
}

// TestAlone: a client gets tokens without authenticating only by a record that says so, and names nobody else.
func TestAlone(t *testing.T) {
	i := trusted(gateway)
	if _, ok := i.Alone(); ok {
		t.Error("alone by the defaults")
	}
	i.RequireClientAuthentication = false
	if id, ok := i.Alone(); !ok || id != c1 {
		t.Errorf("alone: %q, %v", id, ok)
	}
	i.Clients = []string{c1, "c2"}
	if _, ok := i.Alone(); ok {
		t.Error("alone, and nobody knows who")
	}
}
