package container

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

// load reads a compose file as `docker compose` would. What the loader only warns of is returned, too.
func load(t *testing.T, path string, profiles ...string) (*types.Project, string, error) {
	t.Helper()
	var warnings bytes.Buffer
	logrus.SetOutput(&warnings)
	defer logrus.SetOutput(os.Stderr)
	options, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	return project, warnings.String(), err
}

func TestCompose(t *testing.T) {
	path := filepath.Join(root, "docker-compose.yml")
	for profile, want := range map[string][]string{"": {"dev", "postgres"}, "tls": {"dev", "migrate", "postgres", "postgres-tls", "serve"}} {
		project, warnings, err := load(t, path, profile)
		if err != nil || warnings != "" {
			t.Errorf("profile %q: %v %s", profile, err, warnings)
			continue
		}
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(project.ServiceNames()))); diff != "" {
			t.Errorf("the services of profile %q (-want +got):\n%s", profile, diff)
		}
		for name, s := range project.Services {
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s publishes port %s on %q", name, port.Published, port.HostIP)
				}
			}
		}
	}
}

// TestComposeOrder: what starts after what, and when.
func TestComposeOrder(t *testing.T) {
	project, _, err := load(t, filepath.Join(root, "docker-compose.yml"), "tls")
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]struct{ after, when string }{
		"dev":     {"postgres", types.ServiceConditionHealthy},
		"migrate": {"postgres-tls", types.ServiceConditionHealthy},
		"serve":   {"migrate", types.ServiceConditionCompletedSuccessfully},
	} {
		if got := project.Services[service].DependsOn[want.after].Condition; got != want.when {
			t.Errorf("%s starts after %s when %q, want %q", service, want.after, got, want.when)
		}
	}
}

// TestComposeRefuses: the loader finds what is misspelt, or leads nowhere.
func TestComposeRefuses(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		"read_only: true→readonly: true":                          "readonly",
		"postgres: {condition: service_healthy}→database: {}":     "database",
		"secrets: [database-url]→secrets: [database]":             "database",
		"AUTHSERVER_LISTEN: 0.0.0.0:8080→AUTHSERVER_LISTEN: $ANY": "ANY",
		"name: authserver→version: 3":                             "version",
	} {
		from, to, _ := strings.Cut(change, "→")
		changed := strings.Replace(string(text), from, to, 1)
		path := filepath.Join(t.TempDir(), "docker-compose.yml")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		_, said, err := load(t, path, "tls")
		if err != nil {
			said += err.Error()
		}
		if changed == string(text) || !strings.Contains(said, want) {
			t.Errorf("%s: the loader says %q, want %s", change, said, want)
		}
	}
}
