package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dialers are the words of the standard library by which a program reaches out, by the package that has them.
var dialers = map[string][]string{
	"net":  {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer", "ListenUDP", "ListenPacket"},
	"tls":  {"Dial", "DialWithDialer", "Dialer"},
	"http": {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
	"smtp": {"Dial", "SendMail"}, "rpc": {"Dial", "DialHTTP"}, "httputil": {"ReverseProxy", "NewSingleHostReverseProxy"},
}

// reaching are the files that reach out, beside the database's driver.
var reaching = map[string]string{
	"internal/client/fetch.go":          "the one way out of a server: key sets and logos, at addresses that were vetted",
	"internal/person/discovery.go":      "the login service, and the bank's own system, that the operator names",
	"internal/person/persontest/npm.go": "a browser of tests, at a provider of tests",
	"internal/flow/client.go":           "a client from outside",
	"cmd/authserver/try.go":             "a client from outside",
	"cmd/authserver/healthcheck.go":     "asks this machine's own server",
	"cmd/authserver/doctor_local.go":    "asks this machine's own server",
	"cmd/authserver/doctor_public.go":   "asks the issuer as its clients do, when the operator wants to know",
}

// TestOneWayOut: G7, DCR-23: a server has one piece of code that reaches a host a client could have named.
func TestOneWayOut(t *testing.T) {
	found := map[string]bool{}
	root := filepath.Join("..", "..")
	for _, part := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if reachesOut(file) {
				found[filepath.ToSlash(name)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range found {
		if reaching[name] == "" {
			t.Errorf("%s reaches out", name)
		}
	}
	for name := range reaching {
		if !found[name] {
			t.Errorf("%s does not reach out any more", name)
		}
	}
}

// reachesOut tells whether a file makes a client or a connection. A type that is only named, as in *http.Client, makes none.
func reachesOut(file *ast.File) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if _, named := n.(*ast.StarExpr); named {
			return false
		}
		if selected, ok := n.(*ast.SelectorExpr); ok {
			if from, ok := selected.X.(*ast.Ident); ok && slices.Contains(dialers[from.Name], selected.Sel.Name) {
				found = true
			}
		}
		return true
	})
	return found
}
