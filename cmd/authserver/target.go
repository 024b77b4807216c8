package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"authserver/internal/audit"
	"authserver/internal/keys"
	"authserver/internal/oauth"
	"authserver/internal/store"
	"authserver/internal/store/pglocal"
)

// target is the database that a sub-command works on: that of a dev server that is running, or the configured one.
type target struct {
	Settings databaseSettings `embed:"" group:"settings"`
	State    string           `type:"path" placeholder:"DIR" help:"State folder of a running dev server, instead of database-url."`
}

// opened is a target in use.
type opened struct {
	store          *store.Store
	encryptionKeys keys.EncryptionKeys // nil: not configured
	issuer         string              // that the database is stamped with; "": not stamped yet
	mode           string              // the stamp's too: dev or serve
}

// open connects. What is wrong with the settings is reported at once; a database that does not answer is exit code 3.
func (t target) open(ctx context.Context, src *sources) (*opened, error) {
	s, problems := t.Settings, src.problems
	var k keys.EncryptionKeys
	var err error
	switch {
	case t.State != "":
		url, err := pglocal.Running(filepath.Join(t.State, "postgres"))
		if err != nil {
			return nil, exitError{exitUnreachable, "no dev server with a private PostgreSQL runs on " + t.State}
		}
		s.DatabaseURL = oauth.Secret(url)
		if k, err = readEncryptionKeys(t.State); err != nil {
			return nil, exitError{exitUsage, err.Error()}
		}
	case s.DatabaseURL == "":
		problems = append(problems, "database-url is missing: set AUTHSERVER_DATABASE_URL, or name a running dev server by --state")
	}
	u := &understanding{problems: problems}
	u.databaseURL(s.DatabaseURL)
	if k == nil {
		k = u.encryptionKeys(s.KeyEncryptionKey)
	}
	if err = problemsError(u.problems); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, s.DatabaseURL.Reveal())
	if err != nil {
		return nil, exitError{exitUsage, err.Error()}
	}
	if _, err := st.Clock(ctx); err != nil {
		st.Close()
		return nil, exitError{exitUnreachable, "the database does not answer: " + err.Error()}
	}
	return &opened{store: st, encryptionKeys: k}, nil
}

// openMigrated connects and wants a database that serve or dev has used.
func (t target) openMigrated(ctx context.Context, src *sources) (*opened, error) {
	o, err := t.open(ctx, src)
	if err != nil {
		return nil, err
	}
	if err = wantMigrated(ctx, o.store); err == nil {
		var d store.Deployment
		var stamped bool
		d, stamped, err = o.store.Deployment(ctx)
		if err == nil && !stamped {
			err = exitError{exitUsage, "no authserver has been started on this database yet; start authserver serve first"}
		}
		o.issuer, o.mode = d.Issuer, d.Mode
	}
	if err != nil {
		o.store.Close()
		return nil, err
	}
	return o, nil
}

// auditLog opens the audit log for a sub-command that changes something. Its stdout is data: what serve would write there
// goes to stderr.
func (t target) auditLog(out *streams) (*audit.Log, error) {
	setting := or(t.Settings.AuditLog, "stdout")
	if t.State != "" {
		setting = or(t.Settings.AuditLog, "off") // as dev has it
	}
	return openAudit(setting, out.Stderr)
}

// openAudit opens the audit log that the setting names.
func openAudit(setting string, stdout io.Writer) (*audit.Log, error) {
	trail, err := audit.Open(setting, stdout)
	if err != nil {
		return nil, exitError{exitUsage, "audit-log: " + err.Error()}
	}
	return trail, nil
}

// wantMigrated refuses a database whose schema is behind this program.
func wantMigrated(ctx context.Context, st *store.Store) error {
	steps, err := st.Migrations(ctx)
	if err != nil {
		return err
	}
	var pending []string
	for _, step := range steps {
		if step.AppliedAt.IsZero() {
			pending = append(pending, step.Name)
		}
	}
	if len(pending) > 0 {
		return exitError{exitUsage, "the database lacks " + plural(len(pending), "migration") + " (" + strings.Join(pending, ", ") + "); run: authserver migrate up"}
	}
	return nil
}
