package container

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
)

const root = "../../.."

// lint returns what BuildKit's linter says of a Dockerfile, and the error that a build would end with.
func lint(t *testing.T, dockerfile string) (findings []string) {
	t.Helper()
	_, err := dockerfile2llb.Dockerfile2LLB(t.Context(), []byte(dockerfile), dockerfile2llb.ConvertOpt{
		MetaResolver: bareImages{},
		Warn: func(rule, _, _, message string, _ []parser.Range) {
			findings = append(findings, rule+": "+message)
		},
	})
	if err != nil {
		findings = append(findings, err.Error())
	}
	return findings
}

// bareImages stands for the registry: every base image exists and says nothing.
type bareImages struct{}

func (bareImages) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte("{}"), nil
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range lint(t, string(text)) {
		t.Error(finding)
	}
	for change, want := range map[string]string{
		`ENTRYPOINT ["/authserver"]` + "→ENTRYPOINT /authserver": "JSONArgsRecommended",
		" AS build→ as build":                        "FromAsCasing",
		"ENV XDG_DATA_HOME=→ENV XDG_DATA_HOME ":      "LegacyKeyValueFormat",
		"ENV XDG_DATA_HOME=→ENV DATABASE_PASSWORD=":  "SecretsUsedInArgOrEnv",
		"WORKDIR /src→WORKDIR src":                   "WorkdirRelativePath",
		"HEALTHCHECK --interval→HEALTHCHECK --every": "every",
	} {
		from, to, _ := strings.Cut(change, "→")
		changed := strings.Replace(string(text), from, to, 1)
		if said := strings.Join(lint(t, changed), "\n"); changed == string(text) || !strings.Contains(said, want) {
			t.Errorf("%s: the linter says %q, want %s", change, said, want)
		}
	}
}

// source are the files that the build may see.
var source = regexp.MustCompile(`^(go\.mod|go\.sum|(cmd|internal|migrations)/.+)$`)

// TestContext builds the program from what .dockerignore leaves of the repository, which is its source and nothing else.
func TestContext(t *testing.T) {
	ignore, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer ignore.Close()
	patterns, err := ignorefile.ReadAll(ignore)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if left, err := ignored.MatchesOrParentMatches(name); err != nil || left {
			continue
		}
		if !source.MatchString(name) || strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s goes into the build", name)
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", os.DevNull, "./cmd/authserver")
	build.Dir = folder
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}
