//go:build linux

package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authserver/internal/leaveout"
)

// image is what the Dockerfile makes, played on this machine: no engine for containers is needed.
type image struct {
	root        string            // the files of the last stage
	args        map[string]string // build arguments, with the Dockerfile's defaults
	env         []string
	user        string
	healthcheck []string
	entrypoint  []string
}

// build plays the Dockerfile into a folder. A line that it does not know ends the test: what is not played is not shown.
func build(t *testing.T, folder string) *image {
	t.Helper()
	i := &image{root: filepath.Join(folder, "root"), args: map[string]string{"TARGETOS": runtime.GOOS, "TARGETARCH": runtime.GOARCH}}
	source, out := filepath.Join(folder, "src"), filepath.Join(folder, "out")
	for _, d := range []string{source, out, i.root} {
		must(t, os.MkdirAll(d, 0o755))
	}
	stage := 0
	for _, line := range instructions(t, filepath.Join("..", "Dockerfile")) {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "FROM":
			stage++
		case "ARG":
			if name, value, set := strings.Cut(rest, "="); set {
				i.args[name] = value
			}
		case "RUN":
			i.run(t, source, strings.ReplaceAll(rest, "/out/", out+"/"))
		case "COPY":
			if stage == 1 {
				copyIn(t, source, strings.Fields(rest))
			} else {
				i.copyOut(t, out, strings.Fields(rest))
			}
		case "ENV":
			i.env = append(i.env, rest)
		case "USER":
			i.user = rest
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, "CMD ")
			must(t, json.Unmarshal([]byte(command), &i.healthcheck))
		case "ENTRYPOINT":
			must(t, json.Unmarshal([]byte(rest), &i.entrypoint))
		case "WORKDIR", "LABEL", "EXPOSE", "STOPSIGNAL", "CMD": // say nothing about files or the process that is started here
		default:
			t.Fatalf("the Dockerfile has a line that this test cannot play: %s", line)
		}
	}
	return i
}

// instructions are the lines of a Dockerfile, continued ones joined, without comments.
func instructions(t *testing.T, path string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// program is the command line of a container that is started with arguments.
func (i *image) program(args ...string) []string { return slices.Concat(i.entrypoint, args) }

func (i *image) run(t *testing.T, source, script string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-ec", script)
	command.Dir = source
	command.Env = os.Environ()
	for name, value := range i.args {
		command.Env = append(command.Env, name+"="+value)
	}
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, said)
	}
}

// copyIn takes files of the repository into the build stage.
func copyIn(t *testing.T, source string, words []string) {
	t.Helper()
	to := words[len(words)-1]
	for _, from := range words[:len(words)-1] {
		target := filepath.Join(source, to)
		if to == "./" {
			target = filepath.Join(source, filepath.Base(from))
		}
		copyTo(t, filepath.Join("..", from), target)
	}
}

// copyOut takes what the build stage made into the image. Other files of that stage are those of this machine.
func (i *image) copyOut(t *testing.T, out string, words []string) {
	t.Helper()
	from, to := words[len(words)-2], filepath.Join(i.root, words[len(words)-1])
	if made, ours := strings.CutPrefix(from, "/out/"); ours {
		from = filepath.Join(out, made)
	}
	copyTo(t, from, to)
	for _, word := range words {
		if owner, is := strings.CutPrefix(word, "--chown="); is {
			uid, gid := ids(t, owner)
			must(t, os.Chown(to, uid, gid))
		}
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(to), 0o755))
	info, err := os.Stat(from)
	must(t, err)
	if info.IsDir() {
		must(t, os.MkdirAll(to, 0o755))
		must(t, os.CopyFS(to, os.DirFS(from)))
		return
	}
	content, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, content, info.Mode()))
}

// ids reads UID:GID, as numbers: an image without /etc/passwd knows no names.
func ids(t *testing.T, user string) (uid, gid int) {
	t.Helper()
	first, second, _ := strings.Cut(user, ":")
	uid, err := strconv.Atoi(first)
	must(t, err)
	gid, err = strconv.Atoi(second)
	must(t, err)
	return uid, gid
}

// enclose does to a process what an engine does: a root of its own that is read-only, volumes in it, no privileges. The
// mounts are seen by this process alone and end with it.
const enclose = `
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups= "$root" "$@"
`

// container is how a process of the image is started.
type container struct {
	image  *image
	env    []string
	mounts map[string]string // by path in the container: the file or folder of this machine
}

// mount makes a file or folder of this machine appear in the container. As an engine does, it makes the place for it.
func (c container) mount(t *testing.T, outside, inside string) {
	t.Helper()
	place := filepath.Join(c.image.root, inside)
	if _, err := os.Stat(place); err != nil {
		must(t, os.MkdirAll(filepath.Dir(place), 0o755))
		must(t, os.WriteFile(place, nil, 0o644))
		t.Cleanup(func() { _ = os.Remove(place) })
	}
	c.mounts[inside] = outside
}

// process is a running container.
type process struct {
	command *exec.Cmd
	said    *bytes.Buffer // stdout and stderr; to be read after it has ended
	ended   chan struct{}
}

// start runs the image's program. It needs root, as an engine does.
func (c container) start(t *testing.T, args ...string) *process {
	t.Helper()
	words := []string{"--mount", "--propagation", "private", "sh", "-ec", enclose, "sh", c.image.root, c.image.user}
	for inside, outside := range c.mounts {
		words = append(words, outside, inside)
	}
	words = append(words, "--")
	words = append(words, args...)
	p := &process{command: exec.Command("unshare", words...), said: &bytes.Buffer{}, ended: make(chan struct{})}
	p.command.Env = slices.Concat([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, c.image.env, c.env)
	p.command.Stdout, p.command.Stderr = p.said, p.said
	must(t, p.command.Start())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // its code is asked for by end
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end sends a signal unless the process has ended, waits for it, and returns its exit code and what it said.
func (p *process) end(signal os.Signal) (code int, said string) {
	_ = p.command.Process.Signal(signal) // fails when it has ended by itself
	<-p.ended
	return p.command.ProcessState.ExitCode(), p.said.String()
}

// run is start for a command that ends by itself.
func (c container) run(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	p := c.start(t, args...)
	<-p.ended
	return p.command.ProcessState.ExitCode(), p.said.String()
}

// healthy waits until the image's health check succeeds beside the process.
func (c container) healthy(t *testing.T, p *process) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		code, said := c.run(t, c.image.healthcheck...)
		if code == 0 {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("it ended with %d: %s", p.command.ProcessState.ExitCode(), p.said)
		default:
		}
		if time.Now().After(deadline) {
			code, log := p.end(syscall.SIGKILL)
			t.Fatalf("it does not become healthy: %s; %d: %s", said, code, log)
		}
	}
}

var built struct {
	sync.Mutex
	folder string // of all that is built
	image  *image
}

// theImage is built once for all tests, which leave its files as they are.
func theImage(t *testing.T) *image {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveout.Test(t, "the image's program runs in a root of its own under an account of its own, and only root can arrange that")
	}
	built.Lock()
	defer built.Unlock()
	if built.image == nil {
		folder, err := os.MkdirTemp(built.folder, "image-")
		must(t, err)
		built.image = build(t, folder)
	}
	return built.image
}

func TestMain(m *testing.M) {
	var err error
	if built.folder, err = os.MkdirTemp("", "authserver-deploy-"); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	_ = os.RemoveAll(built.folder) // what stays of temporary files harms nobody
	os.Exit(code)
}

// TestImage: the program runs with nothing but the image's files, which nobody can write, under an account without rights.
func TestImage(t *testing.T) {
	i := theImage(t)
	c := container{image: i}
	code, said := c.run(t, i.program("version", "--json")...)
	var version struct{ Version string }
	if err := json.Unmarshal([]byte(said), &version); err != nil || code != 0 || version.Version != i.args["VERSION"] {
		t.Errorf("version: code %d, %s; the Dockerfile says %s", code, said, i.args["VERSION"])
	}
	code, said = c.run(t, i.program("dev", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0", "--issuer", "http://localhost:1", "--state", "/elsewhere")...)
	if code != 2 || !strings.Contains(said, "read-only file system") {
		t.Errorf("dev with its state in the image: code %d: %s", code, said)
	}
	if code, said = c.run(t, i.healthcheck...); code != 1 {
		t.Errorf("the health check of nothing: code %d: %s", code, said)
	}
	report(t, i)
}

// report logs what the image holds and fails when a file is there that nobody meant to be.
func report(t *testing.T, i *image) {
	t.Helper()
	var files []string
	must(t, filepath.Walk(i.root, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			name, _ := filepath.Rel(i.root, path)
			files = append(files, name)
			t.Logf("%9d  %s", info.Size(), name)
		}
		return err
	}))
	if want := []string{"authserver", "etc/ssl/certs/ca-certificates.crt"}; !slices.Equal(files, want) {
		t.Errorf("the image holds %v, and should hold %v", files, want)
	}
}

// runsAs wants a process under the image's account and without capabilities.
func (p *process) runsAs(t *testing.T, user string) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	must(t, err)
	uid, gid := ids(t, user)
	for _, want := range []string{
		fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", uid), fmt.Sprintf("\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", gid), "\nCapEff:\t0000000000000000\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
