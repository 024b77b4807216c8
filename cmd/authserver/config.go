package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"text/tabwriter"

	"authserver/internal/oauth"

	"github.com/alecthomas/kong"
)

// configCmd is about the settings of serve.
type configCmd struct {
	Print    configPrintCmd    `cmd:"" help:"Print every setting, its value and where that comes from; secrets are masked."`
	Validate configValidateCmd `cmd:"" help:"Check the settings as serve would, without touching anything: exit code 0 or 2."`
}

type configPrintCmd struct {
	serveCmd `embed:""`
	JSON     bool `name:"json" help:"Print JSON."`
}

// setting is one line of config print.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // default, flag, the variable, or the file
}

// Run prints the settings also when they are wrong, and what is wrong with them after that.
func (c *configPrintCmd) Run(k *kong.Context, out *streams, src *sources) error {
	given := map[string]string{}
	for _, flag := range k.Flags() {
		if isSetting(flag) {
			given[flag.Name] = text(flag)
		}
	}
	_, problems := c.configure(src.problems)
	var lines []setting
	for _, flag := range k.Flags() {
		if !isSetting(flag) {
			continue
		}
		source := src.origin[flag.Name]
		switch {
		case source != "":
		case given[flag.Name] != "":
			source = "flag"
		default:
			source = "default"
		}
		lines = append(lines, setting{flag.Name, text(flag), source})
	}
	if c.JSON {
		if err := json.NewEncoder(out.Stdout).Encode(lines); err != nil {
			return err
		}
		return problems
	}
	table := tabwriter.NewWriter(out.Stdout, 0, 0, 3, ' ', 0)
	for _, line := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\n", line.Name, or(line.Value, "-"), line.Source)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return problems
}

// text is a flag's value for people.
func text(flag *kong.Flag) string {
	if flag.Target.Type() == reflect.TypeFor[oauth.Secret]() && flag.Target.String() != "" {
		return oauth.Secret(flag.Target.String()).String()
	}
	return flag.Target.String()
}

type configValidateCmd struct {
	serveCmd `embed:""`
}

// Run says ok, or all that is wrong.
func (c *configValidateCmd) Run(out *streams, src *sources) error {
	if _, err := c.configure(src.problems); err != nil {
		return err
	}
	fmt.Fprintln(out.Stdout, "ok")
	return nil
}
