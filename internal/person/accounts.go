package person

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"authserver/internal/fdx"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// The bounds of what a source says of one person's accounts.
const (
	// MaxAccounts is how many accounts one person may have.
	MaxAccounts = 500

	maxAccountName   = 200      // characters
	maxAccountNumber = 64       // characters
	maxAccountIDs    = 48 << 10 // bytes of all ids together, as a form sends them, whose body has at most oauth.MaxBody
)

// Account is something of a person's that data can be shared about.
type Account struct {
	ID     string // 1 to fdx.MaxIdentifier characters, unique for its person
	Name   string // "Everyday"
	Number string // masked: "•••• 4021"; "": the source tells none
}

// People tells who a subject is.
type People interface {
	FindSubject(ctx context.Context, subject string) (p Person, found bool, err error)
}

// Mask keeps at most the last four letters and digits of a number, and never more than half of it: "•••• 4021". White
// space and hyphens, which only group, do not count. What is masked already stays so.
func Mask(number string) string {
	signs := slices.DeleteFunc([]rune(number), func(r rune) bool { return unicode.IsSpace(r) || r == '-' })
	if len(signs) == 0 {
		return ""
	}
	last := signs[len(signs)-min(4, len(signs)/2):]
	last = slices.DeleteFunc(last, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.TrimSpace("•••• " + string(last))
}

// Problems are all that is wrong with what a source says. None of them repeats a value, which may be an account's number.
type Problems []string

// maxProblems is how many are told one by one.
const maxProblems = 20

func (p Problems) Error() string { return strings.Join(p, "; ") }

// reading reads what a source says, strictly: a member that nobody knows is one that was misspelt, and would be left out in
// silence. It goes on behind a problem, for all of them to be told at once.
type reading struct {
	problems Problems
	more     int // of them
}

func (r *reading) problem(at, sentence string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, at+" "+fmt.Sprintf(sentence, args...))
}

// err is what was wrong.
func (r *reading) err() error {
	switch {
	case r.more > 0:
		return append(r.problems, fmt.Sprintf("and %d more problems", r.more))
	case len(r.problems) > 0:
		return r.problems
	}
	return nil
}

// document reads the whole text: an object of these members.
func (r *reading) document(text []byte, names ...string) (o jose.Object, ok bool) {
	o, err := jose.ParseObject(text)
	if err != nil {
		r.problem("the text", "is no strict JSON object%s: %s", line(text), err)
		return o, false
	}
	r.only(o, "", names)
	return o, true
}

// line tells in which line of a text its JSON ends to be any.
func line(text []byte) string {
	syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(json.RawMessage)))
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (line %d)", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")))
}

// object reads an object of these members.
func (r *reading) object(at string, raw json.RawMessage, names ...string) (o jose.Object, ok bool) {
	o, err := jose.ParseObject(raw)
	if err != nil {
		r.problem(at, "must be an object")
		return o, false
	}
	r.only(o, at+".", names)
	return o, true
}

func (r *reading) only(o jose.Object, at string, names []string) {
	for _, name := range o.Names() {
		if !slices.Contains(names, name) {
			r.problem(at+spelt(name), "is not known; the members here are %s", strings.Join(names, ", "))
		}
	}
}

// spelt is the name of an unknown member, as far as it is only a word: one with a digit may be an account's number.
func spelt(name string) string {
	if strings.ContainsFunc(name, unicode.IsDigit) {
		return "a member with a digit in its name"
	}
	return oauth.Printable(name)
}

// array reads a member that is an array of at most so many elements.
func (r *reading) array(o jose.Object, at string, most int) []json.RawMessage {
	raw, there := o.Raw(at[strings.LastIndex(at, ".")+1:])
	list, err := jose.ParseArray(raw)
	switch {
	case !there:
		r.problem(at, "is missing")
	case err != nil:
		r.problem(at, "must be an array")
	case len(list) > most:
		r.problem(at, "has %d elements; at most %d are read", len(list), most)
	default:
		return list
	}
	return nil
}

// text reads a member that is a string of so many characters, or may be missing where there need be none. PostgreSQL keeps
// no NUL, and no page shows the other control characters.
func (r *reading) text(o jose.Object, at string, least, most int) string {
	s, there, err := o.String(at[strings.LastIndex(at, ".")+1:])
	switch n := utf8.RuneCountInString(s); {
	case !there && least == 0:
	case !there:
		r.problem(at, "is missing")
	case err != nil || n > most || len(strings.TrimSpace(s)) < least || strings.ContainsFunc(s, unicode.IsControl):
		r.problem(at, "must be a string of %d to %d characters, none of them a control character", least, most)
	}
	return s
}

// accounts reads the member accounts, and masks the numbers: nobody behind this knows them.
func (r *reading) accounts(o jose.Object, at string) []Account {
	list := r.array(o, at+"accounts", MaxAccounts)
	accounts, known, size := make([]Account, 0, len(list)), map[string]bool{}, 0
	for i, raw := range list {
		at := fmt.Sprintf("%saccounts[%d]", at, i)
		o, ok := r.object(at, raw, "id", "name", "number")
		if !ok {
			continue
		}
		a := Account{
			ID: r.text(o, at+".id", 1, fdx.MaxIdentifier), Name: r.text(o, at+".name", 1, maxAccountName),
			Number: Mask(r.text(o, at+".number", 0, maxAccountNumber)),
		}
		if a.ID != "" && known[a.ID] {
			r.problem(at+".id", "is the id of another account of this person")
		}
		known[a.ID] = true
		size += len("&accounts=") + len(url.QueryEscape(a.ID))
		accounts = append(accounts, a)
	}
	if size > maxAccountIDs {
		r.problem(at+"accounts", "have ids that are too long together to be chosen in one form")
	}
	return accounts
}
