package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

const (
	prefix    = "AUTHSERVER_"
	configEnv = prefix + "CONFIG"
)

// sources finds the values of settings outside the command line: the environment, the files that it names, the YAML file.
// What is wrong with them is collected, to be reported with everything else.
type sources struct {
	env      map[string]string
	file     map[string]string
	names    []string          // of the settings, as flags spell them
	origin   map[string]string // by name, where a value that was found here stood
	problems []string
}

func newSources(environ []string) *sources {
	s := &sources{env: map[string]string{}, file: map[string]string{}, origin: map[string]string{}}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, prefix) {
			s.env[name] = value
		}
	}
	if path := s.env[configEnv]; path != "" {
		s.readFile(path)
	}
	return s
}

// readFile reads the YAML file: one flat mapping of setting names, written with _ or -, to values or lists of them. A value
// is taken as it is spelled: a token of digits must not become a number.
func (s *sources) readFile(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		s.problem("%s: %v", configEnv, err)
		return
	}
	var values map[string]yaml.Node
	if err := yaml.Unmarshal(text, &values); err != nil {
		s.problem("%s: %v", path, err)
		return
	}
	for name, value := range values {
		node := &value
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		flag := strings.ReplaceAll(name, "_", "-")
		_, twice := s.file[flag]
		switch {
		case twice:
			s.problem("%s: %s stands twice, written with _ and with -", path, flag)
		case node.Tag == "!!null":
		case node.Kind == yaml.ScalarNode:
			s.file[flag] = node.Value
		case node.Kind == yaml.SequenceNode && !slices.ContainsFunc(node.Content, func(part *yaml.Node) bool { return part.Kind != yaml.ScalarNode }):
			var parts []string
			for _, part := range node.Content {
				parts = append(parts, part.Value)
			}
			s.file[flag] = strings.Join(parts, ",")
		default:
			s.problem("%s: %s must be a value or a list", path, name)
		}
	}
}

func (s *sources) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// learn takes the names of all settings from the command line's model: the flags of the group "settings".
func (s *sources) learn(app *kong.Application) {
	for _, command := range app.Leaves(true) {
		for _, flag := range command.Flags {
			if isSetting(flag) && !slices.Contains(s.names, flag.Name) {
				s.names = append(s.names, flag.Name)
			}
		}
	}
	s.checkNames()
}

func isSetting(flag *kong.Flag) bool { return flag.Group != nil && flag.Group.Key == "settings" }

// serviceLink are the names that Kubernetes sets in a pod for a Service called authserver or authserver-something.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT$|_PORT_\d+_`)

// checkNames finds names that no setting has: a misspelt setting must not be silently without effect.
func (s *sources) checkNames() {
	known := []string{configEnv, prefix + "POSTGRES_BIN"}
	for _, name := range s.names {
		known = append(known, envName(name), envName(name)+"_FILE")
	}
	for name := range s.env {
		if !slices.Contains(known, name) && !serviceLink.MatchString(name) {
			s.problem("%s is no setting; did you mean %s?", name, nearest(name, known))
		}
	}
	for name := range s.file {
		if !slices.Contains(s.names, name) {
			s.problem("%s in %s is no setting; did you mean %s?", name, s.env[configEnv], nearest(name, s.names))
		}
	}
	slices.Sort(s.problems)
}

func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		return levenshtein.ComputeDistance(name, a) - levenshtein.ComputeDistance(name, b)
	})
}

func envName(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Validate and Resolve make sources a kong.Resolver.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve finds the value of a flag that the command line does not set.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !slices.Contains(s.names, flag.Name) {
		return nil, nil
	}
	name := envName(flag.Name)
	if v := s.env[name]; v != "" {
		s.origin[flag.Name] = name
		return v, nil
	}
	if path := s.env[name+"_FILE"]; path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			s.problem("%s_FILE: %v", name, err)
			return nil, nil
		}
		s.origin[flag.Name] = path + ", named by " + name + "_FILE"
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	if v, ok := s.file[flag.Name]; ok {
		s.origin[flag.Name] = s.env[configEnv]
		return v, nil
	}
	return nil, nil
}
