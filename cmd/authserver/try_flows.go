package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"authserver/internal/flow"
)

// everyFlow is the value of --flow that names no flow of its own.
const everyFlow = "all"

// tried are the reports of the flows that were asked for, also of those that were not played.
type tried []*flow.Report

// story is the flow that was asked for, or else the first.
func (c *tryCmd) story() flow.Story {
	stories := flow.Stories()
	return stories[max(0, slices.IndexFunc(stories, func(s flow.Story) bool { return s.Name == c.Flow }))]
}

// lacks says what a flow needs that no flag names, and that is not in dev's state folder either.
func lacks(story flow.Story, with flow.Authorization) string {
	if missing := story.Lacks(with); missing != "" {
		return missing + "; --issuer-key names its file"
	}
	return ""
}

// playOne drives one flow, whether the issuer offers it or not.
func (c *tryCmd) playOne(ctx context.Context, with flow.Authorization) (tried, error) {
	report, err := c.story().Begin(with).Run(ctx)
	return tried{report}, err
}

// playAll drives every flow that the issuer's metadata offers, each as if it were the only one. A failed check does not keep
// the others from being driven; an issuer that is gone does.
func (c *tryCmd) playAll(ctx context.Context, with flow.Authorization, t *transcript) (reports tried, err error) {
	stories := flow.Stories()
	var unreachable *flow.Unreachable
	if err := with.Server.Discover(ctx); errors.As(err, &unreachable) {
		return nil, err
	} else if err != nil {
		stories = stories[:1] // Its first step tells what is wrong with the metadata.
	}
	metadata := with.Server.Metadata
	for i, story := range stories {
		report := &flow.Report{Flow: story.Name, Issuer: c.Issuer, NotPlayed: or(story.NotOffered(metadata), lacks(story, with))}
		if len(stories) == 1 {
			report.NotPlayed = ""
		}
		if !c.JSON {
			t.heading(story, report.NotPlayed, i == 0)
		}
		if report.NotPlayed == "" {
			with.Server = &flow.Server{Issuer: c.Issuer, HTTP: with.Server.HTTP, Now: with.Server.Now,
				MutualTLS: with.Server.MutualTLS, Certificate: with.Server.Certificate}
			report, err = story.Begin(with).Run(ctx)
		}
		reports = append(reports, report)
		if err != nil || ctx.Err() != nil {
			return reports, err
		}
	}
	return reports, nil
}

// counts adds up what the reports found.
func (all tried) counts() (passed, failed int, took time.Duration) {
	for _, report := range all {
		passed, failed, took = passed+report.Passed, failed+report.Failed, took+report.Duration
	}
	return passed, failed, took
}

// held tells whether every check held, of one at least.
func (all tried) held() bool {
	passed, failed, _ := all.counts()
	return failed == 0 && passed > 0
}

// summary is what came out, on one line.
func (all tried) summary() string {
	passed, failed, took := all.counts()
	line := fmt.Sprintf("%d checks passed in %d ms", passed, took.Milliseconds())
	if failed > 0 {
		line = fmt.Sprintf("%d of %d checks failed", failed, failed+passed)
	}
	if len(all) < 2 {
		return line
	}
	var flows []string
	for _, report := range all {
		switch {
		case report.NotPlayed != "":
			flows = append(flows, report.Flow+" not played")
		case report.Failed > 0:
			flows = append(flows, fmt.Sprintf("%s %d of %d failed", report.Flow, report.Failed, report.Failed+report.Passed))
		default:
			flows = append(flows, fmt.Sprintf("%s %d", report.Flow, report.Passed))
		}
	}
	return line + ": " + strings.Join(flows, ", ")
}

// print writes the reports as one JSON document: that of the one flow, or all of them below what they add up to.
func (c *tryCmd) print(w io.Writer, reports tried) error {
	if c.Flow != everyFlow {
		return writeReport(w, c.shown(reports[0]))
	}
	passed, failed, took := reports.counts()
	shown := tried{}
	for _, report := range reports {
		shown = append(shown, c.shown(report))
	}
	return writeReport(w, struct {
		Issuer   string        `json:"issuer"`
		Passed   int           `json:"passed"`
		Failed   int           `json:"failed"`
		Duration time.Duration `json:"duration_ns"`
		Flows    tried         `json:"flows"`
	}{c.Issuer, passed, failed, took, shown})
}

// save writes each report to a file of its own, if that is wished for.
func (c *tryCmd) save(reports tried) error {
	if c.Save == "" {
		return nil
	}
	for _, report := range reports {
		var text strings.Builder
		if err := writeReport(&text, c.shown(report)); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.Save, report.Flow+".json"), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// shown is a report as it may be read by everybody, unless tokens are to be shown.
func (c *tryCmd) shown(report *flow.Report) *flow.Report {
	if c.ShowTokens {
		return report
	}
	return report.Redacted()
}

func writeReport(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
