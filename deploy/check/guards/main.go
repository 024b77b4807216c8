// Command guards takes the guards of docs/guards.md out of the program one at a time and expects the named test to die.
// The source is never touched: each removal is an overlay that only the one test run sees.
//
//	cd deploy/check && go run ./guards [-only TEXT] [-fit]
//
// It exits with 1 when fewer than nine in ten tests died, when a line no longer fits the source or no longer builds, or
// when a named test is red while its guard is still in, which would prove nothing. With -fit it only compares the lines
// with the source, which takes no time, so that a change of the source is noticed when it is made.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	fit := flag.Bool("fit", false, "only see whether every line still fits the source")
	flag.Parse()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		fail(err)
	}
	guards, err := read(filepath.Join(root, "docs", "guards.md"), *only)
	if err != nil {
		fail(err)
	}
	if *fit {
		os.Exit(compare(root, guards))
	}
	os.Exit(play(root, guards))
}

// compare lists the lines that do not fit.
func compare(root string, guards []guard) (exit int) {
	for _, g := range guards {
		if _, fits := g.removed(root); !fits {
			fmt.Printf("does not fit   %s  %s: docs/guards.md wants %q exactly once\n", g.file, g.what, g.text)
			exit = 1
		}
	}
	return exit
}

// play takes the guards out one by one and prints what became of their tests.
func play(root string, guards []guard) (exit int) {
	if !sound(root, guards) {
		return 1
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
	fmt.Printf("\n%d guards, %d tests died, %d stayed green, %d lines no longer fit or build\n", len(guards), died, len(guards)-died-broken, broken)
	if broken > 0 || len(guards) == 0 || died*10 < len(guards)*9 {
		return 1
	}
	return 0
}

// sound tells whether all the named tests are there and green as long as nothing is taken out.
func sound(root string, guards []guard) bool {
	named := map[string][]string{}
	for _, g := range guards {
		named[g.pkg] = append(named[g.pkg], g.test)
	}
	all := true
	for _, pkg := range slices.Sorted(maps.Keys(named)) {
		out, err := test(root, pkg, strings.Join(named[pkg], "|"))
		if err != nil {
			fmt.Printf("red as it is   %s\n%s", pkg, out)
			all = false
		}
	}
	return all
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

// removed is the guard's file without the guard; fits is false when the text is not there exactly once.
func (g guard) removed(root string) (source string, fits bool) {
	text, err := os.ReadFile(filepath.Join(root, g.file))
	if err != nil || strings.Count(string(text), g.text) != 1 {
		return "", false
	}
	return strings.Replace(string(text), g.text, g.without, 1), true
}

// play runs the guard's test on a program without it.
func (g guard) play(root string) (verdict string) {
	source, fits := g.removed(root)
	if !fits {
		return "does not fit"
	}
	work, err := os.MkdirTemp("", "guards-")
	if err != nil {
		fail(err)
	}
	defer os.RemoveAll(work)
	without, overlay := filepath.Join(work, filepath.Base(g.file)), filepath.Join(work, "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, g.file): without}})
	if err != nil {
		fail(err)
	}
	for name, content := range map[string][]byte{without: []byte(source), overlay: replaced} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			fail(err)
		}
	}
	out, err := test(root, g.pkg, g.test, "-overlay", overlay)
	switch {
	case err == nil && strings.Contains(out, "no tests to run"):
		return "does not fit"
	case err == nil:
		return "GREEN"
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return "does not build"
	}
	return "red"
}

// test runs the tests of a package whose names are names, with bars between them.
func test(root, pkg, names string, flags ...string) (out string, err error) {
	args := slices.Concat([]string{"test", "-count=1", "-timeout", "5m", "-vet=off", "-run", "^(" + names + ")$"}, flags, []string{pkg})
	run := exec.Command("go", args...)
	run.Dir = root
	// Of a test that fails on purpose no failure file is to stay among the sources.
	run.Env = append(os.Environ(), "RAPID_NOFAILFILE=true")
	text, err := run.CombinedOutput()
	return string(text), err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "guards:", err)
	os.Exit(1)
}
