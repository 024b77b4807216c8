package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"authserver/internal/oauth"
	"authserver/internal/person"
)

// checkAccounts tells where people's accounts come from, and whether they can be read.
func (e *examination) checkAccounts(ctx context.Context) {
	switch source := e.config.accounts; {
	case e.config.login == loginOff:
		e.found("accounts", passed, "none: nobody signs in here", "")
	case source.file != "":
		e.checkAccountsFile(source.file)
	case source.callback.URL != "":
		e.checkAccountsCallback(ctx, source)
	case e.dev:
		e.found("accounts", passed, "the demo accounts, the same ones for everybody", "")
	default:
		e.found("accounts", warning, "none: no data of accounts can be shared; requests for it end in access_denied",
			"AUTHSERVER_ACCOUNTS_URL, or AUTHSERVER_ACCOUNTS_FILE; docs/accounts.md has the contract")
	}
}

func (e *examination) checkAccountsFile(path string) {
	f, err := person.NewAccountsFile(path, nil, nil)
	if err != nil {
		e.found("accounts", failed, path+": "+err.Error(), "the last good version stays in force until the server is started again")
		return
	}
	people, accounts := f.Count()
	state := passed
	if accounts == 0 {
		state = warning
	}
	e.found("accounts", state, fmt.Sprintf("%s in %s, with %s", plural(accounts, "account"), path, holders(people)), "")
}

func holders(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// checkAccountsCallback asks the bank's own system about a person whom nobody can be.
func (e *examination) checkAccountsCallback(ctx context.Context, source accountsSource) {
	nobody := person.Person{Subject: person.NewSubject()}
	if e.config.login == loginOIDC {
		nobody.Upstream = person.Identity{Issuer: e.config.upstream.Issuer, Subject: nobody.Subject}
	} else {
		nobody.Username = fmt.Sprintf("doctor.%x", nobody.Subject[:16])
	}
	callback, err := source.openCallback(nil, slog.Default(), time.Now)
	var accounts []person.Account
	known := false
	if err == nil {
		accounts, known, err = callback.Ask(ctx, nobody)
	}
	if refusal, ok := errors.AsType[*oauth.Error](err); ok && refusal.Cause != nil {
		err = refusal.Cause
	}
	url := source.callback.URL
	switch {
	case err != nil:
		e.found("accounts", failed, err.Error(),
			"the bank's system must be reachable from here, know this server, and answer as docs/accounts.md says")
	case len(accounts) > 0:
		e.found("accounts", failed, url+" has accounts of somebody whom nobody can be", "it must look at who is asked about")
	case known:
		e.found("accounts", passed, url+" answers; it has no accounts of somebody whom nobody can be", "")
	default:
		e.found("accounts", passed, url+" answers 404 for somebody whom nobody can be; so it would if the path were wrong", "")
	}
}
