package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"authserver/internal/store"
)

// migrateCmd changes the schema. It may use a database role of its own (README, "Operations").
type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema up to date. Any number of replicas may do so at once."`
	Status migrateStatusCmd `cmd:"" help:"Show which steps have been taken; exit code 1 when one has not."`
	Down   migrateDownCmd   `cmd:"" help:"Take the last step back. What only its tables hold is lost."`
}

type migrateUpCmd struct {
	target `embed:""`
}

// Run takes all steps that are pending.
func (m *migrateUpCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := m.open(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	steps, err := o.store.Migrate(ctx)
	if err != nil {
		return err
	}
	for _, step := range steps {
		fmt.Fprintln(out.Stdout, "applied", step.Name)
	}
	if len(steps) == 0 {
		fmt.Fprintln(out.Stdout, "nothing to do")
	}
	return nil
}

type migrateDownCmd struct {
	target `embed:""`
	Yes    bool `help:"Do it."`
}

// Run takes one step back.
func (m *migrateDownCmd) Run(ctx context.Context, out *streams, src *sources) error {
	if !m.Yes {
		return exitError{exitUsage, "migrate down loses data; say --yes when a backup is at hand"}
	}
	o, err := m.open(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	steps, err := o.store.MigrateDown(ctx)
	if err != nil {
		return err
	}
	for _, step := range steps {
		fmt.Fprintln(out.Stdout, "took back", step.Name)
	}
	if len(steps) == 0 {
		fmt.Fprintln(out.Stdout, "nothing to do")
	}
	return nil
}

type migrateStatusCmd struct {
	target `embed:""`
	JSON   bool `name:"json" help:"Print JSON."`
}

// Run shows every step.
func (m *migrateStatusCmd) Run(ctx context.Context, out *streams, src *sources) error {
	o, err := m.open(ctx, src)
	if err != nil {
		return err
	}
	defer o.store.Close()
	steps, err := o.store.Migrations(ctx)
	if err != nil {
		return err
	}
	if m.JSON {
		err = writeSteps(out.Stdout, steps)
	} else {
		err = printSteps(out.Stdout, steps)
	}
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step.AppliedAt.IsZero() {
			return exitError{Code: exitFailed}
		}
	}
	return nil
}

func writeSteps(w io.Writer, steps []store.Migration) error {
	type row struct {
		Version   int64      `json:"version"`
		Name      string     `json:"name"`
		AppliedAt *time.Time `json:"applied_at"` // null: pending
	}
	rows := []row{}
	for _, step := range steps {
		r := row{Version: step.Version, Name: step.Name}
		if !step.AppliedAt.IsZero() {
			r.AppliedAt = &step.AppliedAt
		}
		rows = append(rows, r)
	}
	return json.NewEncoder(w).Encode(rows)
}

func printSteps(w io.Writer, steps []store.Migration) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, step := range steps {
		at := "pending"
		if !step.AppliedAt.IsZero() {
			at = step.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\n", step.Name, at)
	}
	return table.Flush()
}
