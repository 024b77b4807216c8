package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/oauth"

	"go.yaml.in/yaml/v3"
)

// alertFile is a file of Prometheus' rules that holds nothing but alerts.
type alertFile struct {
	Groups []struct {
		Name  string
		Rules []alert
	}
}

// alert is one alerting rule as this project writes them.
type alert struct {
	Alert       string
	Expr        string
	For         string
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Description, Runbook string }
}

var (
	metricName   = regexp.MustCompile(`\bauthserver_\w+`)
	selector     = regexp.MustCompile(`(\w+)\{([^}]*)\}`)
	labelMatcher = regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"([^"]*)"`)
	quotedText   = regexp.MustCompile(`"[^"]*"`)
)

// alertProblems tells what is wrong with rules and their runbook.
func alertProblems(rules, runbook []byte, metrics map[string]documented) []string {
	var file alertFile
	decoder := yaml.NewDecoder(bytes.NewReader(rules))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return []string{err.Error()}
	}
	var problems []string
	explained := map[string]string{} // by heading
	for _, section := range strings.Split(string(runbook), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		explained[heading] = text
	}
	alerted := map[string]bool{}
	for _, group := range file.Groups {
		for _, a := range group.Rules {
			if alerted[a.Alert] {
				problems = append(problems, a.Alert+" is there twice")
			}
			alerted[a.Alert] = true
			for _, problem := range append(a.problems(metrics), a.unexplained(explained)...) {
				problems = append(problems, a.Alert+": "+problem)
			}
		}
	}
	for heading := range explained {
		if !alerted[heading] {
			problems = append(problems, "the runbook's section "+heading+" belongs to no alert")
		}
	}
	if len(alerted) == 0 {
		problems = append(problems, "no alerts")
	}
	return problems
}

// problems are those of one rule.
func (a alert) problems(metrics map[string]documented) []string {
	var problems []string
	if a.Labels.Severity != "critical" && a.Labels.Severity != "warning" {
		problems = append(problems, "severity "+a.Labels.Severity)
	}
	if a.Annotations.Summary == "" || a.Annotations.Description == "" {
		problems = append(problems, "no summary or no description")
	}
	if _, err := time.ParseDuration(or(a.For, "0s")); err != nil {
		problems = append(problems, err.Error())
	}
	bare := quotedText.ReplaceAllString(a.Expr, "")
	if strings.Count(bare, "(") != strings.Count(bare, ")") || strings.Count(bare, "{") != strings.Count(bare, "}") || strings.Contains(bare, `"`) {
		problems = append(problems, "what opens is not closed: "+a.Expr)
	}
	names := metricName.FindAllString(bare, -1)
	if len(names) == 0 {
		problems = append(problems, "no metric in "+a.Expr)
	}
	for _, name := range names {
		if _, found := find(metrics, name); !found {
			problems = append(problems, "there is no metric "+name)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(a.Expr, -1) {
		metric, _ := find(metrics, s[1])
		for _, matcher := range labelMatcher.FindAllStringSubmatch(s[2], -1) {
			if !strings.Contains(metric.Labels, "`"+matcher[1]+"`") {
				problems = append(problems, s[1]+" has no label "+matcher[1])
			}
			for reason := range strings.SplitSeq(matcher[2], "|") {
				if _, known := oauth.Explain(oauth.Reason(reason)); matcher[1] == "reason" && !known {
					problems = append(problems, "there is no reason "+reason)
				}
			}
		}
	}
	return problems
}

// find is the metric that a series belongs to; a histogram has three kinds.
func find(metrics map[string]documented, series string) (documented, bool) {
	if m, found := metrics[series]; found {
		return m, m.Type != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, cut := strings.CutSuffix(series, suffix); cut {
			m, found := metrics[name]
			return m, found && m.Type == "histogram"
		}
	}
	return documented{}, false
}

// unexplained is what the runbook lacks.
func (a alert) unexplained(sections map[string]string) []string {
	var problems []string
	if want := "docs/runbook.md#" + strings.ToLower(a.Alert); a.Annotations.Runbook != want {
		problems = append(problems, "the runbook is "+a.Annotations.Runbook)
	}
	if section := sections[a.Alert]; !strings.Contains(section, "\nFirst: `") || !strings.Contains(section, "\n- ") {
		problems = append(problems, "the runbook does not say what to do, and what first")
	}
	return problems
}

// The alerts are on metrics that there are, and each has its section in the runbook.
func TestAlerts(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	metrics := metricsTable(t)
	for _, problem := range alertProblems(rules, runbook, metrics) {
		t.Error(problem)
	}
	for _, broken := range []struct{ file, from, to, want string }{
		{"rules", "authserver_build_info", "authserver_built", "AuthserverGone: there is no metric authserver_built"},
		{"rules", "duration_seconds_bucket", "duration_seconds", "AuthserverSlow: there is no metric authserver_http_request_duration_seconds"},
		{"rules", `ready{check!=`, `ready{checked!=`, "AuthserverNotReady: authserver_ready has no label checked"},
		{"rules", `"nonce_missing|`, `"nonce_lost|`, "AuthserverRefusals: there is no reason nonce_lost"},
		{"rules", "absent(authserver_build_info)", "absent(authserver_build_info", "AuthserverGone: what opens is not closed: absent(authserver_build_info"},
		{"rules", "{severity: critical}", "{severity: high}", "AuthserverGone: severity high"},
		{"rules", "{severity: critical}", "{severe: critical}", "yaml: unmarshal errors:\n  line 10: field severe not found in type struct { Severity string }"},
		{"rules", "for: 2m", "for: two", `AuthserverGone: time: invalid duration "two"`},
		{"rules", "summary: No replica of authserver is scraped.", "summary: ''", "AuthserverGone: no summary or no description"},
		{"rules", "#authservergone", "#gone", "AuthserverGone: the runbook is docs/runbook.md#gone"},
		{"rules", "alert: AuthserverSlow", "alert: AuthserverGone", "AuthserverGone is there twice"},
		{"runbook", "## AuthserverSlow", "## AuthserverFast", "the runbook's section AuthserverFast belongs to no alert"},
		{"runbook", "First: `", "`", "AuthserverGone: the runbook does not say what to do, and what first"},
	} {
		text := map[string]string{"rules": string(rules), "runbook": string(runbook)}
		text[broken.file] = strings.Replace(text[broken.file], broken.from, broken.to, 1)
		if got := alertProblems([]byte(text["rules"]), []byte(text["runbook"]), metrics); !slices.Contains(got, broken.want) {
			t.Errorf("with %s for %s in the %s: %q", broken.to, broken.from, broken.file, got)
		}
	}
}

// What the runbook tells an operator to type exists: sub-commands, settings, metrics and anchors.
func TestRunbookNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	runbook := string(text)
	commands := regexp.MustCompile("`[^`]*?authserver ([a-z]+(?: [a-z]+)?)`").FindAllStringSubmatch(runbook, -1)
	for _, command := range commands {
		if code, _, stderr := program(t, nil, append(strings.Fields(command[1]), "--help")...); code != 0 {
			t.Errorf("authserver %s: %s", command[1], stderr)
		}
	}
	_, settings, _ := program(t, nil, "config", "print")
	names := regexp.MustCompile(`AUTHSERVER_[A-Z_]+`).FindAllString(runbook, -1)
	for _, name := range names {
		flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "AUTHSERVER_"), "_", "-"))
		if !strings.Contains(settings, flag+" ") {
			t.Errorf("there is no setting %s", name)
		}
	}
	links := regexp.MustCompile(`\[(\w+)\]\(#(\w+)\)`).FindAllStringSubmatch(runbook, -1)
	for _, link := range links {
		if strings.ToLower(link[1]) != link[2] || !strings.Contains(runbook, fmt.Sprintf("\n## %s\n", link[1])) {
			t.Errorf("%s leads nowhere", link[0])
		}
	}
	reasons := regexp.MustCompile("`((?:assertion|proof|client|token|registration|rate)_[a-z]+(?:_[a-z]+)*)`").FindAllStringSubmatch(runbook, -1)
	for _, reason := range reasons {
		if _, known := oauth.Explain(oauth.Reason(reason[1])); !known && reason[1] != "client_id" {
			t.Errorf("there is no reason %s", reason[1])
		}
	}
	if len(commands) < 5 || len(names) < 5 || len(links) < 5 || len(reasons) < 5 {
		t.Errorf("%d commands, %d settings, %d links, %d reasons", len(commands), len(names), len(links), len(reasons))
	}
}
