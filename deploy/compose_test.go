//go:build linux

package deploy

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the tests need of docker-compose.yml. deploy/check/container holds all of it against the
// specification.
type composeFile struct {
	Services map[string]service
	Secrets  map[string]struct{ File string }
}

type service struct {
	Command     []string
	Environment map[string]string
	User        string
	ReadOnly    bool `yaml:"read_only"`
	Ports       []string
	Secrets     []string
	Volumes     []string
}

// composition is the compose file played on this machine: the image's program runs as the file says, on ports that are
// free here, with a private PostgreSQL in the place of the database's container.
type composition struct {
	t       *testing.T
	image   *image
	file    composeFile
	ports   *strings.Replacer // of the file to those of this machine
	folder  string            // for volumes and secrets
	hosts   string            // the file that makes every service's name a host
	volumes map[string]string // by name
}

func compose(t *testing.T) *composition {
	t.Helper()
	c := &composition{t: t, image: theImage(t), folder: t.TempDir(), volumes: map[string]string{}}
	c.hosts = filepath.Join(c.folder, "hosts")
	must(t, os.WriteFile(c.hosts, []byte("127.0.0.1 localhost postgres postgres-tls\n"), 0o644))
	text, err := os.ReadFile(filepath.Join("..", "docker-compose.yml"))
	must(t, err)
	must(t, yaml.Unmarshal(text, &c.file))
	ports := []string{":5432", ":" + newDatabase(t).port}
	for _, port := range []string{":8080", ":8443", ":9090"} {
		ports = append(ports, port, ":"+freePort(t))
	}
	c.ports = strings.NewReplacer(ports...)
	return c
}

// container is a service as its entry in the file describes it.
func (c *composition) container(name string) (container, []string) {
	c.t.Helper()
	s, ok := c.file.Services[name]
	if !ok || !s.ReadOnly || s.User != c.image.user {
		c.t.Fatalf("the compose file has no service %s that runs read-only under the account %s", name, c.image.user)
	}
	run := container{image: c.image, mounts: map[string]string{}}
	run.mount(c.t, c.hosts, "/etc/hosts")
	for variable, value := range s.Environment {
		run.env = append(run.env, variable+"="+c.ports.Replace(value))
	}
	for _, secret := range s.Secrets {
		run.mount(c.t, filepath.Join(c.folder, c.file.Secrets[secret].File), "/run/secrets/"+secret)
	}
	for _, volume := range s.Volumes {
		name, path, _ := strings.Cut(volume, ":")
		run.mount(c.t, c.volume(name, path), path)
	}
	for _, port := range s.Ports {
		if !strings.HasPrefix(port, "127.0.0.1:") {
			c.t.Errorf("%s publishes %s to other machines", name, port)
		}
		// Here every address answers; what an engine publishes reaches only a server that listens on more than loopback.
		inside := port[strings.LastIndex(port, ":"):]
		if s.Environment["AUTHSERVER_LISTEN"] != "0.0.0.0"+inside && s.Environment["AUTHSERVER_MANAGEMENT_LISTEN"] != "0.0.0.0"+inside {
			c.t.Errorf("%s publishes %s and does not listen there", name, inside)
		}
	}
	return run, c.image.program(s.Command...)
}

// volume is a named volume. A new one takes the owner of the image's folder that it covers.
func (c *composition) volume(name, path string) string {
	c.t.Helper()
	if c.volumes[name] == "" {
		c.volumes[name] = filepath.Join(c.folder, "volume-"+name)
		must(c.t, os.Mkdir(c.volumes[name], 0o755))
		if info, err := os.Stat(filepath.Join(c.image.root, path)); err == nil {
			owner := info.Sys().(*syscall.Stat_t)
			must(c.t, os.Chown(c.volumes[name], int(owner.Uid), int(owner.Gid)))
		}
	}
	return c.volumes[name]
}

// connects wants a database URL to say what the database's container is told.
func (c *composition) connects(database, got, password string) {
	c.t.Helper()
	e := c.file.Services[database].Environment
	want := fmt.Sprintf("postgres://%s:%s@%s:5432/%s?sslmode=disable", e["POSTGRES_USER"], password, database, e["POSTGRES_DB"])
	if got != want {
		c.t.Errorf("the database URL is %s, and the database is %s", got, want)
	}
}

// TestComposeDefault: without a profile, dev answers at its issuer, and a client goes the whole way through.
func TestComposeDefault(t *testing.T) {
	c := compose(t)
	dev := c.file.Services["dev"]
	c.connects("postgres", dev.Environment["AUTHSERVER_DATABASE_URL"], "dev-only-password")
	run, command := c.container("dev")
	p := run.start(t, command...)
	run.healthy(t, p)
	p.runsAs(t, c.image.user)
	issuer := dev.Environment["AUTHSERVER_ISSUER"]
	if got, want := issuerAt(t, c.ports.Replace(issuer), nil), c.ports.Replace(issuer); got != want {
		t.Errorf("the issuer is %s, want %s", got, want)
	}
	// A changed port is no longer dev's usual issuer; its state lies in a folder named after it.
	state := "/state/authserver/dev-" + strings.NewReplacer("://", "-", ":", "-").Replace(c.ports.Replace(issuer)) + "/"
	try := c.image.program("try", "--flow", "cc", "--issuer", c.ports.Replace(issuer),
		"--registrar-key", state+"registrar.jwk.json", "--resource-server-key", state+"resource-server.jwk.json")
	if code, said := run.run(t, try...); code != 0 {
		t.Errorf("try in the container: code %d: %s", code, said)
	}
	if code, said := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("dev ended with %d: %s", code, said)
	}
}

// TestComposeTLS: in the profile tls nothing starts without secrets; with them, migrate ends and serve answers over TLS.
func TestComposeTLS(t *testing.T) {
	c := compose(t)
	makeSecrets(t, c.folder)
	secret := func(name string) string {
		text, err := os.ReadFile(filepath.Join(c.folder, c.file.Secrets[name].File))
		must(t, err)
		return strings.TrimSpace(string(text))
	}
	c.connects("postgres-tls", secret("database-url"), secret("postgres-password"))
	database := filepath.Join(c.folder, c.file.Secrets["database-url"].File)
	must(t, os.WriteFile(database, []byte(c.ports.Replace(secret("database-url"))), 0o644))

	serve, serveCommand := c.container("serve")
	bare := container{image: c.image, env: serve.env}
	if code, said := bare.run(t, serveCommand...); code != 2 || !strings.Contains(said, "key-encryption-key is missing") {
		t.Errorf("serve without its secrets: code %d: %s", code, said)
	}
	if code, said := serve.run(t, serveCommand...); code != 2 || !strings.Contains(said, "authserver migrate up") {
		t.Errorf("serve before migrate: code %d: %s", code, said)
	}
	migrate, migrateCommand := c.container("migrate")
	if code, said := migrate.run(t, migrateCommand...); code != 0 {
		t.Fatalf("migrate: code %d: %s", code, said)
	}
	p := serve.start(t, serveCommand...)
	serve.healthy(t, p)
	p.runsAs(t, c.image.user)
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(secret("tls.crt"))) {
		t.Fatal("tls.crt holds no certificate")
	}
	issuer := c.file.Services["serve"].Environment["AUTHSERVER_ISSUER"]
	if got, want := issuerAt(t, c.ports.Replace(issuer), trusted), c.ports.Replace(issuer); got != want {
		t.Errorf("the issuer is %s, want %s", got, want)
	}
}

// makeSecrets runs deploy/tls-secrets for a folder of its own.
func makeSecrets(t *testing.T, folder string) {
	t.Helper()
	script, err := os.ReadFile("tls-secrets")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(folder, "deploy"), 0o755))
	path := filepath.Join(folder, "deploy", "tls-secrets")
	must(t, os.WriteFile(path, script, 0o755))
	if said, err := exec.CommandContext(t.Context(), "bash", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}
