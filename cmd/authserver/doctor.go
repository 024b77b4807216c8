package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"authserver/internal/keys"
	"authserver/internal/store"
)

// doctorCmd examines a deployment from the machine that it runs on.
type doctorCmd struct {
	serveCmd `embed:""`
	State    string        `type:"path" placeholder:"DIR" help:"Examine a running dev server by its state folder, instead of the settings."`
	CACert   string        `name:"ca-cert" type:"path" placeholder:"FILE" help:"PEM certificates to trust for the public URL, instead of the system's."`
	Timeout  time.Duration `default:"5s" help:"Limit of one request."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// The states of a finding. Only failed makes the exit code 1.
const (
	passed  = "ok"
	warning = "warn"
	failed  = "FAIL"
	skipped = "skipped"
)

// finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// examination is one run of doctor: what is examined, and what was found so far.
type examination struct {
	config   config
	dev      bool
	mode     string // that the database must be stamped with
	caCert   string
	timeout  time.Duration
	store    *store.Store // nil while the database is out of reach
	database string       // why it is
	keys     keys.EncryptionKeys
	findings []finding
}

func (e *examination) found(check, state, detail, remedy string) {
	e.findings = append(e.findings, finding{check, state, detail, remedy})
}

// Run does every check that it can, whatever the others found.
func (d *doctorCmd) Run(ctx context.Context, out *streams, src *sources) error {
	e, err := d.begin(ctx, src)
	if err != nil {
		return err
	}
	if e.store != nil {
		defer e.store.Close()
	}
	for _, check := range []func(context.Context){
		e.checkIssuer, e.checkTLS, e.checkMutualTLS, e.checkDatabase, e.checkClock, e.checkMigrations, e.checkStamp, e.checkKeys, e.checkSweeper,
		e.checkProxies, e.checkKeyFetch, e.checkLogin, e.checkAccounts, e.checkRedaction, e.checkReplica,
	} {
		check(ctx)
	}
	return d.report(out, e.findings)
}

// begin understands what to examine. Settings that are wrong are findings like any other.
func (d *doctorCmd) begin(ctx context.Context, src *sources) (*examination, error) {
	e := &examination{mode: "serve", caCert: d.CACert, timeout: d.Timeout, dev: d.State != ""}
	if e.dev {
		return e, d.beginDev(ctx, src, e)
	}
	var err error
	if e.config, err = d.configure(src.problems); err != nil {
		e.found("config", failed, err.Error(), "authserver config print shows every value and its source")
	} else {
		e.found("config", passed, "every setting is understood", "")
	}
	e.keys = e.config.encryptionKeys
	switch url := e.config.databaseURL; {
	case url == "":
		e.database = "database-url is missing"
	case store.CheckURL(url.Reveal()) != nil:
		e.database = "database-url cannot be read"
	default:
		st, err := store.Open(ctx, url.Reveal())
		if err != nil {
			return nil, err
		}
		if _, err = st.Clock(ctx); err != nil {
			st.Close()
			e.database = err.Error()
			break
		}
		e.store = st
	}
	return e, nil
}

// beginDev takes from the state folder and the database what dev was started with.
func (d *doctorCmd) beginDev(ctx context.Context, src *sources, e *examination) error {
	o, err := target{State: d.State}.openMigrated(ctx, src)
	if err != nil {
		return err
	}
	command := devCmd{Settings: d.Settings}
	command.Settings.Issuer = o.issuer
	_, missing := os.Stat(filepath.Join(d.State, devAuthorityFile))
	command.TLS = missing == nil && strings.HasPrefix(o.issuer, "https:") && d.Settings.TLSCertFile == ""
	command.fillIn()
	e.mode, e.store, e.keys = "dev", o.store, o.encryptionKeys
	if e.config, err = command.configure(src.problems); command.TLS {
		useDevCertificates(&e.config, d.State)
		e.caCert = or(e.caCert, e.config.mtls.caFile)
	}
	return err
}

// report prints the findings, and ends with exit code 1 when one of them is a failure.
func (d *doctorCmd) report(out *streams, findings []finding) error {
	failures, warnings := 0, 0
	for _, f := range findings {
		switch f.State {
		case failed:
			failures++
		case warning:
			warnings++
		}
	}
	if d.JSON {
		if err := json.NewEncoder(out.Stdout).Encode(findings); err != nil {
			return err
		}
	} else {
		table := tabwriter.NewWriter(out.Stdout, 0, 0, 3, ' ', 0)
		for _, f := range findings {
			fmt.Fprintf(table, "%s\t%s\t%s\n", f.Check, f.State, strings.ReplaceAll(f.Detail, "\n", " "))
			if f.Remedy != "" {
				fmt.Fprintf(table, "\t\t→ %s\n", f.Remedy)
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(out.Stdout, "\n%d checks, %s, %s\n", len(findings), plural(failures, "failure"), plural(warnings, "warning"))
	}
	if failures > 0 {
		return exitError{Code: exitFailed}
	}
	return nil
}
