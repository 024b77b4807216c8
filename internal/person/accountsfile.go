package person

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"authserver/internal/jose"
)

// The bounds of the file, which is for some thousands of people. A bank has a system that can be asked.
const (
	maxAccountsFile = 8 << 20 // bytes
	maxHolders      = 100_000
	maxIssuer       = 2048 // characters
)

// AccountsFile are accounts that stand in a JSON file, which is read again when it changes.
type AccountsFile struct {
	path   string
	people People
	log    *slog.Logger

	mu    sync.Mutex
	read  os.FileInfo // what the file was when it was read last
	known map[holder][]Account
}

// holder is how a source of accounts knows a person: by a username, or by who it is at an upstream.
type holder struct {
	username string
	upstream Identity
}

// NewAccountsFile reads the file. What is wrong with its text is an error of the type Problems.
func NewAccountsFile(path string, people People, log *slog.Logger) (*AccountsFile, error) {
	f := &AccountsFile{path: path, people: people, log: log}
	return f, f.refresh()
}

// Accounts are those of a person; nobody's are none.
func (f *AccountsFile) Accounts(ctx context.Context, subject string) ([]Account, error) {
	p, found, err := f.people.FindSubject(ctx, subject)
	if err != nil || !found {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		f.log.Warn("accounts file not read again", "cause", brief{err}.Error())
	}
	return slices.Clone(f.known[holder{p.Username, p.Upstream}]), nil
}

// Count tells how many people stand in the file, and how many accounts.
func (f *AccountsFile) Count() (people, accounts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range f.known {
		accounts += len(of)
	}
	return len(f.known), accounts
}

// refresh reads the file if it has changed. What cannot be read leaves the last good version in force; one whose text is
// wrong is not looked at again.
func (f *AccountsFile) refresh() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	switch {
	case f.read != nil && os.SameFile(info, f.read) && info.ModTime().Equal(f.read.ModTime()) && info.Size() == f.read.Size():
		return nil
	case !info.Mode().IsRegular(): // a pipe would be waited for
		return Problems{f.path + " is no regular file"}
	case info.Size() > maxAccountsFile:
		return Problems{fmt.Sprintf("the text has %d bytes; at most %d are read", info.Size(), maxAccountsFile)}
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	f.read = info
	known, err := parseAccounts(text)
	if err == nil {
		f.known = known
	}
	return err
}

// parseAccounts reads the text of an accounts file.
func parseAccounts(text []byte) (map[holder][]Account, error) {
	r := &reading{}
	o, ok := r.document(text, "people")
	if !ok {
		return nil, r.err()
	}
	known := map[holder][]Account{}
	for i, raw := range r.array(o, "people", maxHolders) {
		at := fmt.Sprintf("people[%d]", i)
		o, ok := r.object(at, raw, "username", "upstream", "accounts")
		if !ok {
			continue
		}
		who := r.holder(o, at)
		if _, twice := known[who]; twice && who != (holder{}) {
			r.problem(at, "is somebody who stands there already")
		}
		known[who] = r.accounts(o, at+".")
	}
	return known, r.err()
}

// holder reads who somebody is: by one of the two names.
func (r *reading) holder(o jose.Object, at string) (h holder) {
	raw, upstream := o.Raw("upstream")
	switch {
	case upstream == o.Has("username"):
		r.problem(at, "must have either a username or an upstream")
	case upstream:
		if o, ok := r.object(at+".upstream", raw, "issuer", "subject"); ok {
			h.upstream = Identity{r.text(o, at+".upstream.issuer", 1, maxIssuer), r.text(o, at+".upstream.subject", 1, maxClaim)}
		}
	default:
		if h.username = r.text(o, at+".username", 1, maxClaim); h.username != "" && !IsUsername(h.username) {
			r.problem(at+".username", "is none that authserver user add takes")
		}
	}
	return h
}
