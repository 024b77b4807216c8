package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authserver/internal/oauth"
)

// TestReasons reads the source: every reason is declared once, explained once, and used by some refusal outside the table.
func TestReasons(t *testing.T) {
	root := filepath.Join("..", "..")
	declared := map[string]string{} // name of the constant: its word
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		inTable := filepath.Base(path) == "reasons.go" || filepath.Base(path) == "reason.go"
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "Reason" && inTable && len(n.Values) == 1 {
					declared[n.Names[0].Name] = strings.Trim(n.Values[0].(*ast.BasicLit).Value, `"`)
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "oauth" {
					used[n.Sel.Name] = true
				}
			case *ast.Ident:
				if file.Name.Name == "oauth" && !inTable {
					used[n.Name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(declared) < 50 {
		t.Fatalf("only %d reasons were found in the source: the test no longer sees them", len(declared))
	}
	explained := map[oauth.Reason]int{}
	for _, e := range oauth.Reasons() {
		explained[e.Reason]++
		if e.Meaning == "" || e.Remedy == "" || e.Code == "" {
			t.Errorf("%s is not explained in full", e.Reason)
		}
		if status := oauth.Refuse(e.Reason, "x").Status(); status < 400 {
			t.Errorf("%s has the status %d", e.Reason, status)
		}
	}
	for name, word := range declared {
		if !used[name] {
			t.Errorf("%s (%s) is used by no refusal", name, word)
		}
		if explained[oauth.Reason(word)] != 1 {
			t.Errorf("%s is explained %d times", word, explained[oauth.Reason(word)])
		}
	}
	if len(explained) != len(declared) {
		t.Errorf("%d reasons are explained, %d declared", len(explained), len(declared))
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal("the test did not read the whole house")
	}
}
