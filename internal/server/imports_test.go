package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// floors is the house: a room imports only rooms of lower floors. Those on one floor know nothing of each other.
var floors = map[string]struct {
	floor int
	why   string
}{
	"authserver/internal/oauth":                       {0, "the words of the protocol; everybody speaks them"},
	"authserver/internal/jose":                        {0, "the door for JWS and JWK; knows no OAuth"},
	"authserver/internal/audit":                       {0, "the trail of what was changed; knows only names"},
	"authserver/migrations":                           {0, "SQL steps"},
	"authserver/internal/leaveout":                    {0, "tests that a machine cannot play"},
	"authserver/internal/replay":                      {1, "what may be used once, as pure rules"},
	"authserver/internal/fdx":                         {1, "FDX vocabulary, pure"},
	"authserver/internal/certificate":                 {1, "the client certificate of a request"},
	"authserver/internal/grant":                       {2, "the life of an authorization, as pure rules over what FDX and others can grant"},
	"authserver/internal/client":                      {2, "who is calling"},
	"authserver/internal/keys":                        {2, "the server's signing keys"},
	"authserver/internal/accesstoken":                 {2, "the access token, issued and recognised"},
	"authserver/internal/dpop":                        {2, "proof of possession"},
	"authserver/internal/page":                        {2, "what a person sees"},
	"authserver/internal/person":                      {2, "who sits at the browser"},
	"authserver/internal/resource":                    {3, "what a protected resource checks"},
	"authserver/internal/response":                    {3, "answers, signed and encrypted as their client registered"},
	"authserver/internal/issuer":                      {3, "who may vouch for others"},
	"authserver/internal/idtoken":                     {3, "who signed in, told to a client; knows no endpoint"},
	"authserver/internal/dcr":                         {4, "an endpoint"},
	"authserver/internal/token":                       {4, "an endpoint"},
	"authserver/internal/introspect":                  {4, "an endpoint"},
	"authserver/internal/consent":                     {4, "an endpoint"},
	"authserver/internal/par":                         {4, "an endpoint"},
	"authserver/internal/userinfo":                    {4, "an endpoint"},
	"authserver/internal/authorize":                   {4, "an endpoint, and the pages behind it"},
	"authserver/internal/store/pglocal":               {4, "runs PostgreSQL as a child; knows no room"},
	"authserver/internal/store":                       {5, "PostgreSQL; keeps the records of the rooms below"},
	"authserver/internal/server":                      {5, "HTTP; routes to the endpoints below"},
	"authserver/internal/flow":                        {5, "a client from outside; see alone"},
	"authserver/internal/jose/josetest":               {6, "keys and signatures by the standard library, for tests"},
	"authserver/internal/page/pagetest":               {6, "a browser for tests"},
	"authserver/internal/person/persontest":           {6, "OpenID providers for tests"},
	"authserver/internal/certificate/certificatetest": {6, "client certificates for tests"},
	"authserver/internal/store/storetest":             {6, "databases for tests"},
	"authserver/cmd/authserver":                       {7, "wires everything"},
	"authserver/deploy":                               {8, "images and manifests; tests only"},
}

// owners are the libraries that live in one room, so that the rest of the house could do without them.
var owners = map[string]string{
	"github.com/go-chi/":              "authserver/internal/server",
	"github.com/prometheus/":          "authserver/internal/server",
	"github.com/lestrrat-go/":         "authserver/internal/jose",
	"github.com/jackc/":               "authserver/internal/store",
	"github.com/pressly/goose":        "authserver/internal/store",
	"code.dny.dev/ssrf":               "authserver/internal/client",
	"github.com/alecthomas/":          "authserver/cmd/authserver",
	"go.yaml.in/":                     "authserver/cmd/authserver",
	"github.com/alexedwards/argon2id": "authserver/internal/person",
	"github.com/coreos/go-oidc":       "authserver/internal/person",
	"golang.org/x/oauth2":             "authserver/internal/person",
	"github.com/agnivade/levenshtein": "authserver/cmd/authserver",
	"github.com/lmittmann/tint":       "authserver/cmd/authserver",
	"golang.org/x/net/html":           "authserver/internal/flow",
	"golang.org/x/term":               "authserver/cmd/authserver",
	"golang.org/x/sys/":               "(tests only)",
	"golang.org/x/sync/singleflight":  "authserver/internal/client",
	"golang.org/x/sync/semaphore":     "authserver/internal/person",
	"golang.org/x/text/":              "authserver/internal/page",
	"github.com/chromedp/":            "authserver/internal/page/pagetest",
	"github.com/maypok86/otter":       "authserver/internal/client",
	"github.com/go-jose/go-jose":      "(tests only)",
	"github.com/google/go-cmp":        "(tests only)",
	"pgregory.net/rapid":              "(tests only)",
	"authserver/internal/store/":      "authserver/cmd/authserver",
	"authserver/internal/flow":        "authserver/cmd/authserver",
}

// alone are rooms that import no room of ours, so that they prove more than that we agree with ourselves.
var alone = []string{"authserver/internal/flow", "authserver/internal/store/pglocal", "authserver/internal/jose"}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// TestImports holds the house's plan against the code as the go command reads it.
func TestImports(t *testing.T) {
	packages := list(t)
	if len(packages) != len(floors) {
		t.Errorf("the house has %d rooms, the plan %d", len(packages), len(floors))
	}
	for _, p := range packages {
		room, ok := floors[p.ImportPath]
		if !ok {
			t.Errorf("%s stands on no floor of the plan", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if below, ours := floors[imported]; ours && below.floor >= room.floor {
				t.Errorf("%s (floor %d: %s) imports %s (floor %d: %s)", p.ImportPath, room.floor, room.why, imported, below.floor, below.why)
			}
			for library, owner := range owners {
				if strings.HasPrefix(imported, library) && p.ImportPath != owner && !strings.HasPrefix(p.ImportPath, "authserver/internal/store/") {
					t.Errorf("%s imports %s, which lives in %s", p.ImportPath, imported, owner)
				}
			}
		}
	}
	for _, p := range packages {
		for _, room := range alone {
			for _, imported := range p.Imports {
				if p.ImportPath == room && strings.HasPrefix(imported, "authserver/") {
					t.Errorf("%s must stand alone, but imports %s", room, imported)
				}
			}
		}
	}
}

func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "authserver/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
