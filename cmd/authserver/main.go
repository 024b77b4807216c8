package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the release build (-ldflags "-X main.version=…").
var version = "0.1.0"

// streams are where a sub-command reads and writes: secrets that are typed from Stdin, data to Stdout, talk to Stderr.
type streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Plain          bool // no colours: not a terminal, or NO_COLOR
}

// exitError ends the program with a code of its own.
type exitError struct {
	Code int
	Msg  string
}

func (e exitError) Error() string { return e.Msg }

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// cli is the command line.
type cli struct {
	Dev         devCmd         `cmd:"" help:"Run everything for a laptop: private PostgreSQL, keys, demo people, loopback http."`
	Serve       serveCmd       `cmd:"" help:"Run in production: refuses an http issuer, missing keys, pending migrations, a dev database."`
	Try         tryCmd         `cmd:"" help:"Drive a real flow against an issuer and show every step, then what must fail."`
	Doctor      doctorCmd      `cmd:"" help:"Examine this deployment: settings, public URL, TLS, clock, database, keys, guards; exit code 1 on a failure."`
	Client      clientCmd      `cmd:"" help:"Register clients by hand, with what registration over the network cannot set."`
	Issuer      issuerCmd      `cmd:"" help:"Trust, list and remove the issuers of JWT bearer assertions."`
	User        userCmd        `cmd:"" help:"Add, list and disable the people who sign in."`
	Consent     consentCmd     `cmd:"" help:"Show what people have allowed, and end it."`
	Migrate     migrateCmd     `cmd:"" help:"Change the database's schema."`
	Keys        keysCmd        `cmd:"" help:"Show, rotate, retire and reseal the signing keys."`
	Config      configCmd      `cmd:"" help:"Show or check the settings."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask the replica on this machine whether it takes traffic: exit code 0 or 1."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Plain: !isTerminal(os.Stdout) || os.Getenv("NO_COLOR") != ""}
	os.Exit(run(ctx, os.Args[1:], os.Environ(), out))
}

// run is the program without the process around it.
func run(ctx context.Context, args, environ []string, out *streams) int {
	err := dispatch(ctx, args, environ, out)
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.Msg != "" {
			fmt.Fprintln(out.Stderr, "authserver: "+exit.Msg)
		}
		return exit.Code
	}
	fmt.Fprintln(out.Stderr, "authserver: "+err.Error())
	return exitFailed
}

func dispatch(ctx context.Context, args, environ []string, out *streams) error {
	var commands cli
	src := newSources(environ)
	exited := -1
	parser, err := kong.New(&commands,
		kong.Name("authserver"),
		kong.Description("OAuth 2.0 authorization server for open finance (FAPI 2.0, FDX)."),
		kong.Writers(out.Stdout, out.Stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.Resolvers(src),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return err
	}
	src.learn(parser.Model)
	parsed, err := parser.Parse(args)
	switch {
	case exited == 0: // --help has been printed
		return nil
	case err != nil:
		return exitError{exitUsage, err.Error()}
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(out, src)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
