package person

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"authserver/internal/fdx"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMask(t *testing.T) {
	for number, want := range map[string]string{
		"": "", " - ": "", "DE89 3704 0044 0532 0130 00": "•••• 3000", "30004021": "•••• 4021", "3000-4021": "•••• 4021",
		"****4021": "•••• 4021", "•••• 4021": "•••• 4021", "1234567": "•••• 567", "4021": "•••• 21", "40 21": "•••• 21", "42": "•••• 2",
		"7": "••••", "4021****": "••••", "**********": "••••", "4111111111111111": "•••• 1111", "x-4021": "•••• 21", "口座1234567": "•••• 4567",
	} {
		if got := Mask(number); got != want {
			t.Errorf("%q becomes %q, want %q", number, got, want)
		}
	}
}

// Whatever a number is: no more than four of its signs are shown, and no more than half; masking again changes nothing.
func TestMaskShowsLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.StringMatching(`[0-9A-Z *-]{0,40}`), rapid.String()).Draw(t, "number")
		shown, _ := strings.CutPrefix(Mask(number), "••••")
		n := utf8.RuneCountInString(strings.TrimPrefix(shown, " "))
		if signs := utf8.RuneCountInString(strings.ReplaceAll(number, " ", "")); n > 4 || 2*n > signs {
			t.Errorf("%d of %d signs of %q are shown: %q", n, signs, number, shown)
		}
		if again := Mask(Mask(number)); again != Mask(number) {
			t.Errorf("%q becomes %q, and then %q", number, Mask(number), again)
		}
	})
}

const kimAndSam = `{
  "people": [
    {"username": "kim", "accounts": [
      {"id": "acc-1", "name": "Everyday", "number": "30004021"},
      {"id": "acc-2", "name": "Rainy day"}
    ]},
    {"upstream": {"issuer": "https://login.bank.example", "subject": "248289761001"}, "accounts": []}
  ]
}`

func TestParseAccounts(t *testing.T) {
	got, err := parseAccounts([]byte(kimAndSam))
	want := map[holder][]Account{
		{username: "kim"}: {{"acc-1", "Everyday", "•••• 4021"}, {"acc-2", "Rainy day", ""}},
		{upstream: Identity{"https://login.bank.example", "248289761001"}}: {},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(holder{})); err != nil || diff != "" {
		t.Error(err, diff)
	}
	same := `{"id": "1", "name": "A"}`
	many := strings.TrimSuffix(strings.Repeat(same+",", MaxAccounts+1), ",")
	for name, c := range map[string]struct{ text, want string }{
		"no text":                 {"", "the text is no strict JSON object (line 1)"},
		"a comma too many":        {"{\n\"people\": [\n],\n}", "the text is no strict JSON object (line 4)"},
		"a member twice":          {`{"people": [], "people": []}`, "twice in one object"},
		"a member twice, deep":    {`{"people": [{"username": "kim", "accounts": [{"id": "1", "id": "2", "name": "A"}]}]}`, "twice in one object"},
		"a list":                  {`[]`, "not an object"},
		"nothing":                 {`{}`, "people is missing"},
		"people by name":          {`{"people": {"kim": []}}`, "people must be an array"},
		"a misspelt member":       {`{"people": [], "Accounts": []}`, "Accounts is not known; the members here are people"},
		"somebody who is a word":  {`{"people": ["kim"]}`, "people[0] must be an object"},
		"nobody":                  {`{"people": [{"accounts": []}]}`, "people[0] must have either a username or an upstream"},
		"two names":               {`{"people": [{"username": "kim", "upstream": {"issuer": "i", "subject": "s"}, "accounts": []}]}`, "either a username or an upstream"},
		"a name nobody can have":  {`{"people": [{"username": "Kim", "accounts": []}]}`, "people[0].username is none that authserver user add takes"},
		"a name that is a number": {`{"people": [{"username": 1, "accounts": []}]}`, "people[0].username must be a string"},
		"no issuer":               {`{"people": [{"upstream": {"subject": "s"}, "accounts": []}]}`, "people[0].upstream.issuer is missing"},
		"an upstream's name":      {`{"people": [{"upstream": "https://login.bank.example", "accounts": []}]}`, "people[0].upstream must be an object"},
		"somebody twice":          {`{"people": [{"username": "kim", "accounts": []}, {"username": "kim", "accounts": []}]}`, "people[1] is somebody who stands there already"},
		"no accounts":             {`{"people": [{"username": "kim"}]}`, "people[0].accounts is missing"},
		"accounts that are null":  {`{"people": [{"username": "kim", "accounts": null}]}`, "people[0].accounts must be an array"},
		"too many accounts":       {`{"people": [{"username": "kim", "accounts": [` + many + `]}]}`, "people[0].accounts has 501 elements; at most 500 are read"},
		"an account twice":        {of(same, same), "people[0].accounts[1].id is the id of another account of this person"},
		"no id":                   {of(`{"name": "A"}`), "people[0].accounts[0].id is missing"},
		"an empty id":             {of(`{"id": "", "name": "A"}`), "people[0].accounts[0].id must be a string of 1 to 256 characters"},
		"a blank name":            {of(`{"id": "1", "name": " "}`), "people[0].accounts[0].name must be a string of 1 to 200 characters"},
		"an id that is a number":  {of(`{"id": 1, "name": "A"}`), "people[0].accounts[0].id must be a string"},
		"a long id":               {of(`{"id": "` + strings.Repeat("é", 257) + `", "name": "A"}`), "people[0].accounts[0].id must be a string"},
		"a NUL":                   {of(`{"id": "a\u0000", "name": "A"}`), "none of them a control character"},
		"a line feed in a name":   {of(`{"id": "1", "name": "A\nB"}`), "people[0].accounts[0].name must be"},
		"a number as a number":    {of(`{"id": "1", "name": "A", "number": 30004021}`), "people[0].accounts[0].number must be a string of 0 to 64"},
		"a number without end":    {of(`{"id": "1", "name": "A", "number": "` + strings.Repeat("4", 65) + `"}`), "people[0].accounts[0].number must be"},
		"a member more":           {of(`{"id": "1", "name": "A", "balance": 1}`), "people[0].accounts[0].balance is not known; the members here are id, name, number"},
		"ids that fill a form":    {of(longIDs(60)...), "have ids that are too long together to be chosen in one form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseAccounts([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	longest := of(`{"id": "` + strings.Repeat("é", fdx.MaxIdentifier) + `", "name": "A"}`)
	if _, err := parseAccounts([]byte(longest)); err != nil {
		t.Errorf("as long as it may be: %v", err)
	}
}

// of is a file in which kim has these accounts.
func of(accounts ...string) string {
	return `{"people": [{"username": "kim", "accounts": [` + strings.Join(accounts, ", ") + `]}]}`
}

// longIDs are so many accounts with the longest ids.
func longIDs(n int) (accounts []string) {
	for i := range n {
		accounts = append(accounts, fmt.Sprintf(`{"id": "%03d%s", "name": "A"}`, i, strings.Repeat("é", 253)))
	}
	return accounts
}

// Problems are told at once, but not without end, and none repeats what may be somebody's account number.
func TestProblems(t *testing.T) {
	_, err := parseAccounts([]byte(of(slices.Repeat([]string{`{"id": 30004021, "number": 30004021}`}, 30)...)))
	problems, ok := err.(Problems)
	if !ok || len(problems) != maxProblems+1 || problems[maxProblems] != "and 70 more problems" {
		t.Errorf("%d problems: %q", len(problems), problems)
	}
	_, byNumber := parseAccounts([]byte(`{"people": [{"username": "kim", "accounts": [], "30004021": "Everyday"}]}`))
	if all := fmt.Sprint(err, byNumber); byNumber == nil || strings.Contains(all, "4021") {
		t.Errorf("%s has the number", all)
	}
}

// FuzzParseAccounts: what is taken can be shown, chosen in one form and kept.
func FuzzParseAccounts(f *testing.F) {
	f.Add([]byte(kimAndSam))
	f.Add([]byte(of(`{"id": "1", "name": "A", "number": "1"}`, `{"id": "1", "name": "A"}`)))
	f.Add([]byte(of(longIDs(60)...)))
	f.Add([]byte(`{"people": [{"upstream": {"issuer": "i", "subject": "s"}, "accounts": [null]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		known, err := parseAccounts(text)
		if err != nil {
			return
		}
		for who, accounts := range known {
			if (who.username == "") == (who.upstream == Identity{}) || len(accounts) > MaxAccounts {
				t.Fatalf("%+v has %d accounts", who, len(accounts))
			}
			ids := map[string]bool{}
			for _, a := range accounts {
				n := utf8.RuneCountInString(a.ID)
				if ids[a.ID] || n < 1 || n > fdx.MaxIdentifier || !utf8.ValidString(a.ID) || strings.Contains(a.ID, "\x00") ||
					strings.TrimSpace(a.Name) == "" || Mask(a.Number) != a.Number {
					t.Fatalf("%+v", a)
				}
				ids[a.ID] = true
			}
		}
	})
}
