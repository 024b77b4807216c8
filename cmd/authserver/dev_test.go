package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// freePort is a port of this machine that nobody listened on a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// openFolder is a folder of the test's own that the account of PostgreSQL can enter, also when the test runs as root.
func openFolder(t testing.TB) string {
	t.Helper()
	storetest.URL(t) // leaves the test out where PostgreSQL's binaries are missing
	dir := t.TempDir()
	for _, open := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(open, os.ModeSticky|0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// running is a dev server that was started with run, as from the command line.
type running struct {
	t              *testing.T
	port, issuer   string
	stdout, stderr *lockedBuffer
	interrupt      context.CancelFunc
	code           chan int
}

func startDev(t *testing.T, port string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, port: port, issuer: "http://localhost:" + port, stdout: &lockedBuffer{}, stderr: &lockedBuffer{}, interrupt: cancel, code: make(chan int, 1)}
	go func() {
		r.code <- run(ctx, append([]string{"dev", "--listen", "127.0.0.1:" + port}, args...), nil, &streams{Stdout: r.stdout, Stderr: r.stderr, Plain: true})
	}()
	t.Cleanup(func() { r.end() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(r.stdout.String(), "next, in another terminal") && r.listens() {
			return r
		}
		select {
		case code := <-r.code:
			r.code <- code
			t.Fatalf("dev ended with %d: %s%s", code, r.stdout, r.stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("dev does not start: %s%s", r.stdout, r.stderr)
		}
	}
}

func (r *running) listens() bool {
	connection, err := net.Dial("tcp", "127.0.0.1:"+r.port)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

// end interrupts dev and returns its exit code.
func (r *running) end() int {
	r.interrupt()
	code := <-r.code
	r.code <- code
	return code
}

func (r *running) server() *flow.Server {
	r.t.Helper()
	s := &flow.Server{Issuer: r.issuer, HTTP: flow.NewHTTPClient(&http.Transport{DisableKeepAlives: true}, 20*time.Second), Now: time.Now}
	if err := s.Discover(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// try drives every flow against the server, with what lies in its state folder, and wants no failed check. Some may be not
// offered.
func (r *running) try(state string, notOffered ...string) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	saved := r.t.TempDir()
	code := run(r.t.Context(), []string{"try", "--flow", "all", "--json", "--issuer", r.issuer, "--state", state,
		"--save", saved}, nil, &streams{Stdout: &stdout, Stderr: &stderr, Plain: true})
	var all struct {
		Passed, Failed int
		Flows          []*flow.Report
	}
	if err := json.Unmarshal(stdout.Bytes(), &all); err != nil || code != 0 || all.Failed > 0 || all.Passed < 500 {
		r.t.Errorf("try: code %d, %d passed, %d failed, %v: %s", code, all.Passed, all.Failed, err, &stderr)
	}
	if len(all.Flows) != len(flow.Stories()) {
		r.t.Errorf("%d flows", len(all.Flows))
	}
	for i, report := range all.Flows {
		played := !slices.Contains(notOffered, report.Flow)
		if report.Flow != flow.Stories()[i].Name || played != (report.NotPlayed == "") || played && report.Passed < 40 {
			r.t.Errorf("%s: %d passed, not played: %q", report.Flow, report.Passed, report.NotPlayed)
		}
		r.checkReport(report)
		alone, err := os.ReadFile(filepath.Join(saved, report.Flow+".json"))
		var again flow.Report
		if err != nil || json.Unmarshal(alone, &again) != nil || again.Passed != report.Passed || len(again.Steps) != len(report.Steps) {
			r.t.Errorf("%s.json: %v, %d bytes", report.Flow, err, len(alone))
		}
	}
}

// checkReport wants no failed check and no step left out.
func (r *running) checkReport(report *flow.Report) {
	r.t.Helper()
	for _, step := range report.Steps {
		for _, check := range step.Checks {
			if !check.OK {
				r.t.Errorf("%s: %s: expected %s, got %s", step.Title, check.Name, check.Expected, check.Got)
			}
		}
		if step.Skipped != "" {
			r.t.Errorf("%s was skipped: %s", step.Title, step.Skipped)
		}
	}
}

// postmaster is the process of the PostgreSQL in a state folder.
func postmaster(t *testing.T, pattern string) int {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func gone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the PostgreSQL of dev, process %d, is still there: %v", pid, err)
	}
}

// dev keeps its state between runs, in a folder whose name has spaces, until --reset.
func TestDevKeepsItsState(t *testing.T) {
	state, port := filepath.Join(openFolder(t), "my state folder"), freePort(t)
	first := startDev(t, port, "--state", state)
	first.try(state, "mtls")
	s := first.server()
	k := key(t, "ES256")
	c, err := s.Register(t.Context(), s.RegisterRequest(metadata(k)), k, key(t, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	access := tokenFor(t, c, nil)
	registrar, err := flow.ReadKeyFile(filepath.Join(state, registrarKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("--reset of a dev that cannot start harms nothing", func(t *testing.T) {
		code, _, stderr := program(t, nil, "dev", "--listen", "127.0.0.1:"+port, "--state", state, "--reset")
		if code != exitUsage || !strings.Contains(stderr, "address already in use") {
			t.Errorf("%d %s", code, stderr)
		}
		tokenFor(t, c, nil)
	})
	pid := postmaster(t, filepath.Join(state, "postgres/cluster/postmaster.pid"))
	if code := first.end(); code != 0 {
		t.Errorf("code %d: %s", code, first.stderr)
	}
	gone(t, pid)

	second := startDev(t, port, "--state", state)
	c.Server = second.server()
	if e := do(t, c.Server, c.IntrospectRequest(access)); e.JSON()["active"] != true {
		t.Errorf("a token of the run before: %s", e.ResponseBody)
	}
	tokenFor(t, c, nil)
	same, err := flow.ReadKeyFile(filepath.Join(state, registrarKeyFile))
	if err != nil || same.Thumbprint() != registrar.Thumbprint() {
		t.Errorf("another registrar key, %v", err)
	}
	tokenFor(t, &flow.Client{Server: second.server(), ID: same.ClientID, Key: same, DPoPKey: key(t, "ES256")}, url.Values{"scope": {"client.create"}})
	second.end()
	t.Run("another issuer is refused", func(t *testing.T) {
		code, _, stderr := program(t, nil, "dev", "--listen", "127.0.0.1:"+freePort(t), "--state", state)
		if code != exitUsage || !strings.Contains(stderr, "belongs to the issuer "+second.issuer) {
			t.Errorf("%d %s", code, stderr)
		}
	})

	if err := os.WriteFile(filepath.Join(state, "notes.txt"), []byte("a person's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := startDev(t, port, "--state", state, "--reset")
	c.Server = third.server()
	outcome(t, do(t, c.Server, c.TokenRequest(nil)), "401 invalid_client")
	if other, err := flow.ReadKeyFile(filepath.Join(state, registrarKeyFile)); err != nil || other.Thumbprint() == registrar.Thumbprint() {
		t.Errorf("the same registrar key, %v", err)
	}
	if _, err := os.Stat(filepath.Join(state, "notes.txt")); err != nil {
		t.Errorf("--reset took what is not dev's: %v", err)
	}
}

// Two ephemeral devs run side by side. An interrupted one answers what was under way, and nothing of it is left.
func TestDevEphemeral(t *testing.T) {
	temporary := openFolder(t)
	t.Setenv("TMPDIR", temporary)
	one := startDev(t, freePort(t), "--ephemeral")
	pid := postmaster(t, filepath.Join(temporary, "authserver-pg-*/cluster/postmaster.pid"))
	states, err := filepath.Glob(filepath.Join(temporary, "authserver-dev-*"))
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	kek := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	two := startDev(t, freePort(t), "--ephemeral", "--initial-access-token", initialToken, "--key-encryption-key", kek)
	one.try(states[0], "mtls")
	checkRecords(t, one.stderr.String())
	if two.server().Metadata.Issuer == one.server().Metadata.Issuer {
		t.Error("one issuer twice")
	}
	two.drain()
	for _, r := range []*running{one, two} {
		if code := r.end(); code != 0 {
			t.Errorf("code %d: %s", code, r.stderr)
		}
		if said := r.stdout.String() + r.stderr.String(); strings.Contains(said, initialToken) || strings.Contains(said, kek) {
			t.Errorf("a secret stands in %s", said)
		}
	}
	gone(t, pid)
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// drain interrupts dev in the middle of a request: it takes no new connections, and answers that request.
func (r *running) drain() {
	r.t.Helper()
	connection, err := net.Dial("tcp", "127.0.0.1:"+r.port)
	if err != nil {
		r.t.Fatal(err)
	}
	defer connection.Close()
	const body = "grant_type=client_credentials"
	fmt.Fprintf(connection, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", formType, len(body))
	answers := bufio.NewReader(connection)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads the body now
		r.t.Fatal(line, err)
	}
	_, _ = answers.ReadString('\n') // the empty line after it
	r.interrupt()
	for deadline := time.Now().Add(time.Minute); r.listens(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("an interrupted dev takes new connections")
		}
	}
	if _, err := io.WriteString(connection, body); err != nil {
		r.t.Fatal(err)
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		r.t.Errorf("the request under way is answered with %d", response.StatusCode)
	}
}

// Every issuer has a state folder of its own, and the default one the plain name.
func TestStateFolders(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	for issuer, want := range map[string]string{
		"http://localhost:8080":         "/data/authserver/dev",
		"http://localhost:8081":         "/data/authserver/dev-http-localhost-8081",
		"https://bank.example/auth/../": "/data/authserver/dev-https-bank.example-auth-..-",
	} {
		if got, err := stateDir(issuer); got != want || err != nil {
			t.Errorf("%s: %s, %v", issuer, got, err)
		}
	}
}
