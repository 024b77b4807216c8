package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"authserver/internal/leaveout"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestAssertionByHand runs the shell commands of README's section about assertions, as they stand there, against a server as
// dev has it: openssl makes the key and signs, curl sends, and a Bearer token comes back.
func TestAssertionByHand(t *testing.T) {
	for _, tool := range []string{"openssl", "curl", "perl"} {
		if _, err := exec.LookPath(tool); err != nil {
			leaveout.Test(t, "there is no "+tool+" in the PATH (Debian: apt-get install "+tool+")")
		}
	}
	d := deploy(t, 1, nil)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Assertions of trusted issuers\n")
	_, block, _ := strings.Cut(section, "```sh\n")
	commands, _, found := strings.Cut(block, "```")
	for elsewhere, here := range map[string]string{
		"go run ./cmd/authserver":            "authserver",
		` --state "$STATE"`:                  "",
		"curl http://localhost:8080/oauth2/": "curl -s http://" + d.hosts[0] + "/oauth2/",
	} {
		if found = found && strings.Contains(commands, elsewhere); found {
			commands = strings.ReplaceAll(commands, elsewhere, here)
		}
	}
	if !found {
		t.Fatalf("README has other commands:\n%s", commands)
	}
	dir := t.TempDir()
	script := "exec sh -e commands.sh\nstdout 'created    MGW_ID'\n" +
		"stdout '\"token_type\":\"Bearer\",\"expires_in\":(900|89\\d),\"scope\":\"demo:read\"'\n-- commands.sh --\n" + commands
	if err := os.WriteFile(filepath.Join(dir, "assertion.txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, RequireExplicitExec: true, Setup: func(env *testscript.Env) error {
		env.Vars = append(env.Vars, "PATH="+env.Getenv("PATH")+":"+os.Getenv("PATH"),
			"AUTHSERVER_DATABASE_URL="+d.url, "AUTHSERVER_AUDIT_LOG=off", "AUTHSERVER_SCOPES="+demoScope)
		return nil
	}})
}
