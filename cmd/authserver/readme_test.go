package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"authserver/internal/store/pglocal"
	"authserver/internal/store/storetest"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run this program under its name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"authserver": main})
}

// TestOperationsTranscript plays the console of README's section "In production" as it stands there: each command must
// succeed, and print the lines that follow it.
func TestOperationsTranscript(t *testing.T) {
	pg := storetest.NewPrivate(t, true)
	p := newProduction(t, pg.URL())
	script := console(t, "../../README.md", "## In production", map[string]string{
		"https://as.bank.example":                                  p.issuer,
		"postgres://authserver_migrate@db.bank.example/authserver": storetest.As(t, "authserver_migrate", pg.URL()),
		"postgres://authserver_serve@db.bank.example/authserver":   storetest.As(t, "authserver_serve", pg.URL()),
	})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "operations.txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, RequireExplicitExec: true, Setup: func(env *testscript.Env) error {
		bin, err := pglocal.Find()
		if err != nil {
			return err
		}
		socket, err := url.Parse(pg.URL())
		if err != nil {
			return err
		}
		repository, err := filepath.Abs("../..")
		if err != nil {
			return err
		}
		writePair(t, p.authority.issue(t, "ECDSA", "localhost"), filepath.Join(env.WorkDir, "tls.crt"), filepath.Join(env.WorkDir, "tls.key"))
		if err := os.Rename(p.authority.writeFile(t), filepath.Join(env.WorkDir, "ca.pem")); err != nil {
			return err
		}
		env.Vars = append(env.Vars, "PATH="+env.Getenv("PATH")+":"+bin, "PGHOST="+socket.Query().Get("host"), "PGUSER="+socket.User.Username(),
			"AUTHSERVER_LISTEN=127.0.0.1:"+p.port, "AUTHSERVER_MANAGEMENT_LISTEN=127.0.0.1:"+p.health, "AUTHSERVER_DRAIN_DELAY=0s")
		return os.Symlink(filepath.Join(repository, "deploy"), filepath.Join(env.WorkDir, "deploy"))
	}})
}

// TestSettingsTable: README's table names every setting with its defaults, and no other.
func TestSettingsTable(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{} // variable → default in serve
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`AUTHSERVER_[^|]*`"+`) \|.*\| (.*) \|$`).FindAllStringSubmatch(string(text), -1) {
		for _, variable := range strings.Split(row[1], ", ") {
			documented[strings.Trim(variable, "`")] = strings.Trim(row[2], "`")
		}
	}
	code, stdout, stderr := program(t, nil, "config", "print", "--json")
	var settings []setting
	if err := json.Unmarshal([]byte(stdout), &settings); err != nil || code != exitUsage {
		t.Fatal(code, err, stderr)
	}
	for _, s := range settings {
		got, found := documented[envName(s.Name)]
		if !found || s.Value != "" && got != s.Value {
			t.Errorf("%s, whose default in serve is %q: documented %v, as %q", envName(s.Name), s.Value, found, got)
		}
		delete(documented, envName(s.Name))
	}
	for name := range documented {
		t.Errorf("%s is documented and is no setting", name)
	}
}

// console turns the console blocks of a section into a script. After "$ " stands a command; a line that it must print
// follows, with … for what differs from run to run. What is elsewhere in the text is here in the test.
func console(t *testing.T, file, heading string, here map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for elsewhere, local := range here {
		if !strings.Contains(section, elsewhere) {
			t.Errorf("the section has no %s", elsewhere)
		}
		section = strings.ReplaceAll(section, elsewhere, local)
	}
	var script strings.Builder
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			line = strings.TrimRight(line, "\n")
			command, isCommand := strings.CutPrefix(line, "$ ")
			switch {
			case isCommand:
				commands++
				script.WriteString(asScript(command))
			case line != "":
				pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
				fmt.Fprintf(&script, "stdout %s\n", quoted("(?m)^"+regexp.MustCompile(` +`).ReplaceAllString(pattern, " +")+"$"))
			}
		}
	}
	if commands < 10 {
		t.Fatalf("only %d commands", commands)
	}
	return script.String()
}

// asScript is a shell's command in the language of testscript.
func asScript(command string) string {
	if assignments, ok := strings.CutPrefix(command, "export "); ok {
		var script strings.Builder
		for _, assignment := range strings.Fields(assignments) {
			fmt.Fprintf(&script, "env %s\n", quoted(assignment))
		}
		return script.String()
	}
	if background, ok := strings.CutSuffix(command, " &"); ok {
		wait := `i=0; until authserver healthcheck >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 300 ] || { cat authserver.log >&2; exit 1; }; sleep 0.1; done`
		return "exec sh -c " + quoted("exec "+background) + " &serve&\nexec sh -c " + quoted(wait) + "\n"
	}
	if command == "kill %1" {
		return "kill -INT serve\nwait serve\n"
	}
	return "exec sh -c " + quoted(command) + "\n"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
