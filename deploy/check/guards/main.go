// Command guards takes the guards of docs/guards.md out of the program one at a time and expects the named test to die.
// The source is never touched: each removal is an overlay that only the one test run sees.
//
//	cd deploy/check && go run ./guards [-only TEXT]
//
// It exits with 1 when fewer than nine in ten tests died, or when a line no longer fits the source.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// guard is one line: a file, the text that guards, what stands there without it, and the test that must die.
type guard struct {
	what, file, text, without, pkg, test string
}

// line is how docs/guards.md writes a guard.
var line = regexp.MustCompile("^- (.+): `([^`]+)` `([^`]+)` → `([^`]*)` · `(\\S+) ([^`]+)`$")

func main() {
	only := flag.String("only", "", "play only the guards whose line holds this text")
	flag.Parse()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		fail(err)
	}
	guards, err := read(filepath.Join(root, "docs", "guards.md"), *only)
	if err != nil {
		fail(err)
	}
	died, broken := 0, 0
	for _, g := range guards {
		verdict := g.play(root)
		switch verdict {
		case "red":
			died++
		case "does not fit", "does not build":
			broken++
		}
		fmt.Printf("%-14s %s  %s  %s\n", verdict, g.file, g.what, g.test)
	}
	fmt.Printf("\n%d guards, %d tests died, %d lines no longer fit\n", len(guards), died, broken)
	if broken > 0 || len(guards) == 0 || died*10 < len(guards)*9 {
		os.Exit(1)
	}
}

func read(path, only string) (guards []guard, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		if !strings.HasPrefix(l, "- ") || !strings.Contains(l, only) {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			return nil, fmt.Errorf("not a guard: %s", l)
		}
		guards = append(guards, guard{m[1], m[2], m[3], m[4], m[5], m[6]})
	}
	return guards, nil
}

// play runs the guard's test on a program without it.
func (g guard) play(root string) string {
	path := filepath.Join(root, g.file)
	source, err := os.ReadFile(path)
	if err != nil || strings.Count(string(source), g.text) != 1 {
		return "does not fit"
	}
	work, err := os.MkdirTemp("", "guards-")
	if err != nil {
		fail(err)
	}
	defer os.RemoveAll(work)
	without := filepath.Join(work, filepath.Base(g.file))
	overlay := filepath.Join(work, "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{path: without}})
	if err != nil {
		fail(err)
	}
	for name, content := range map[string][]byte{
		without: []byte(strings.Replace(string(source), g.text, g.without, 1)), overlay: replaced,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			fail(err)
		}
	}
	run := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-timeout", "5m", "-vet=off", "-run", g.test, g.pkg)
	run.Dir = root
	out, err := run.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(out), "no tests to run"):
		return "does not fit"
	case err == nil:
		return "GREEN"
	case strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]"):
		return "does not build"
	}
	return "red"
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "guards:", err)
	os.Exit(1)
}
