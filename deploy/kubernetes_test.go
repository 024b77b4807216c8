//go:build linux

package deploy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"
)

// workload is what the tests need of a Deployment or a Job. deploy/check/kubernetes holds all of it against the API.
type workload struct {
	Spec struct {
		Template struct {
			Spec struct{ Containers []pod }
		}
	}
}

// pod is the one container of a workload's pods.
type pod struct {
	Args           []string
	Env            []struct{ Name, Value string }
	StartupProbe   probe `yaml:"startupProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
}

type probe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

func readPod(t *testing.T, file string) pod {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("kubernetes", file))
	must(t, err)
	var w workload
	must(t, yaml.Unmarshal(text, &w))
	if len(w.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%s has %d containers", file, len(w.Spec.Template.Spec.Containers))
	}
	return w.Spec.Template.Spec.Containers[0]
}

// container is the pod's container with secrets by path.
func (p pod) container(t *testing.T, i *image, secrets map[string]string, more ...string) container {
	t.Helper()
	c := container{image: i, env: more, mounts: map[string]string{}}
	folder := t.TempDir()
	write := func(name, content, inside string) {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte(content), 0o444))
		c.mount(t, path, inside)
	}
	write("hosts", "127.0.0.1 localhost\n", "/etc/hosts")
	for _, e := range p.Env {
		c.env = append(c.env, e.Name+"="+e.Value)
		secret, known := secrets[e.Value]
		if !known {
			t.Fatalf("%s names %s, which is no secret that README tells of", e.Name, e.Value)
		}
		write(e.Name, secret, e.Value)
	}
	return c
}

// settings are the lines of settings.env.
func settings(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("kubernetes", "settings.env"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestKubernetes: with deploy/postgres/roles.sql run, the Job's command migrates, and then the Deployment's serves under
// its own role, with the settings of the ConfigMap, and answers its probes.
func TestKubernetes(t *testing.T) {
	i, db := theImage(t), newDatabase(t)
	roles, err := os.ReadFile(filepath.Join("postgres", "roles.sql"))
	must(t, err)
	connection, err := pgx.Connect(t.Context(), db.url)
	must(t, err)
	defer connection.Close(t.Context())
	_, err = connection.Exec(t.Context(), string(roles))
	must(t, err)
	url := func(role string) map[string]string {
		return map[string]string{
			"/run/secrets/database/url":       fmt.Sprintf("postgres://%s@127.0.0.1:%s/authserver?sslmode=disable", role, db.port),
			"/run/secrets/key-encryption/key": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
		}
	}
	job := readPod(t, "migrate.yaml")
	migrate := job.container(t, i, url("authserver_migrate"))
	if code, said := migrate.run(t, i.program(job.Args...)...); code != 0 {
		t.Fatalf("the Job ended with %d: %s", code, said)
	}
	public, management := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	deployment := readPod(t, "deployment.yaml")
	serve := deployment.container(t, i, url("authserver_serve"), append(settings(t), "AUTHSERVER_LISTEN="+public, "AUTHSERVER_MANAGEMENT_LISTEN="+management)...)
	p := serve.start(t, i.program(deployment.Args...)...)
	serve.healthy(t, p)
	for name, probe := range map[string]probe{"startup": deployment.StartupProbe, "liveness": deployment.LivenessProbe, "readiness": deployment.ReadinessProbe} {
		response, err := http.Get("http://" + management + probe.HTTPGet.Path)
		must(t, err)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("the %s probe %s is answered with %s", name, probe.HTTPGet.Path, response.Status)
		}
	}
	if issuer := "AUTHSERVER_ISSUER=" + issuerAt(t, "http://"+public, nil); settings(t)[0] != issuer {
		t.Errorf("the replica says %s, and the settings are %v", issuer, settings(t))
	}
}
