package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"authserver/internal/leaveout"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPayNetByHand runs the shell commands of README's section about PayNet, as they stand there, against dev --tls: openssl
// signs, and the two curl commands of seed 003, with nothing but their placeholders filled in, get a Bearer token for an hour
// each.
func TestPayNetByHand(t *testing.T) {
	for _, tool := range []string{"openssl", "curl", "perl"} {
		if _, err := exec.LookPath(tool); err != nil {
			leaveout.Test(t, "there is no "+tool+" in the PATH (Debian: apt-get install "+tool+")")
		}
	}
	state, port, alias := openFolder(t), freePort(t), freePort(t)
	commands := payNetCommands(t)
	checkSeed003(t, commands)
	for elsewhere, here := range map[string]string{"go run ./cmd/authserver": "authserver",
		"https://localhost:8443": "https://localhost:" + port} {
		if !strings.Contains(commands, elsewhere) {
			t.Errorf("README's section has no %s", elsewhere)
		}
		commands = strings.ReplaceAll(commands, elsewhere, here)
	}
	startDev(t, port, "--tls", "--mtls-listen", "127.0.0.1:"+alias, "--state", state, "--scopes", "accounts",
		"--require-client-certificate", "true")
	dir := t.TempDir()
	script := "exec sh -e commands.sh\n" +
		`stdout -count=2 '"token_type":"Bearer","expires_in":(3600|359\d),"scope":"accounts"'` + "\n" +
		`stdout -count=2 '(?i)^x-fapi-interaction-id: 550e8400-e29b-41d4-a716-446655440000'` + "\n" +
		"-- .curlrc --\ninclude\nsilent\n-- commands.sh --\n" + commands
	if err := os.WriteFile(filepath.Join(dir, "paynet.txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, RequireExplicitExec: true, Setup: func(env *testscript.Env) error {
		env.Vars = append(env.Vars, "PATH="+env.Getenv("PATH")+":"+os.Getenv("PATH"), "STATE="+state, "CURL_HOME="+env.WorkDir)
		return nil
	}})
}

// payNetCommands are the shell commands of the section.
func payNetCommands(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## PayNet: mutual TLS\n")
	_, block, _ := strings.Cut(section, "```sh\n")
	commands, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("README has no commands for PayNet")
	}
	return commands
}

// checkSeed003 wants both commands of the guide among README's, to the letter but for the placeholders.
func checkSeed003(t *testing.T, commands string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "seed-003.json"))
	if err != nil {
		t.Fatal(err)
	}
	var printed map[string]string
	if err := json.Unmarshal(text, &printed); err != nil || len(printed) != 2 {
		t.Fatal(err, len(printed))
	}
	for method, id := range map[string]string{"private_key_jwt": "by-assertion", "tls_client_auth": "by-certificate"} {
		command := strings.NewReplacer("{{token_endpoint}}", "$token_endpoint", "{{CLIENT_ID}}", id,
			"{{SIGNED_CLIENT_ASSERTION_JWT}}", "$header.$claims.$signature",
			"/path/to/transport-certificate.pem", `"$STATE/client.pem"`, "/path/to/transport-key.pem",
			`"$STATE/client.key"`).Replace(printed[method])
		if !strings.Contains(commands, command+"\n") {
			t.Errorf("README has another command than the guide for %s:\n%s", method, command)
		}
	}
}
