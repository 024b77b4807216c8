package oauth_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
)

func TestParseScope(t *testing.T) {
	many := strings.Repeat("a ", 99) + "a"
	tests := []struct {
		name, in string
		want     oauth.Scope
		refused  bool
	}{
		{"empty", "", nil, false},
		{"one", "accounts", oauth.Scope{"accounts"}, false},
		{"several, in their order", "b a c", oauth.Scope{"b", "a", "c"}, false},
		{"the same again", "a b a", oauth.Scope{"a", "b"}, false},
		{"case counts", "a A", oauth.Scope{"a", "A"}, false},
		{"seed 000", "service:scope1 service:scope2", oauth.Scope{"service:scope1", "service:scope2"}, false},
		{"every character of a token", "!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~", oauth.Scope{"!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"}, false},
		{"4 KiB", strings.Repeat("a", 4096), oauth.Scope{strings.Repeat("a", 4096)}, false},
		{"100 tokens", many, oauth.Scope{"a"}, false},

		{"CC-04 tab", "a\tb", nil, true},
		{"CC-04 quote", `a"b`, nil, true},
		{"CC-04 backslash", `a\b`, nil, true},
		{"CC-04 over 4 KiB", strings.Repeat("a", 4097), nil, true},
		{"CC-04 101 tokens", many + " a", nil, true},
		{"CC-04 5000 tokens", strings.TrimSpace(strings.Repeat("a ", 5000)), nil, true},
		{"two spaces", "a  b", nil, true},
		{"leading space", " a", nil, true},
		{"trailing space", "a ", nil, true},
		{"only a space", " ", nil, true},
		{"newline", "a\n", nil, true},
		{"NUL", "a\x00", nil, true},
		{"DEL", "a\x7f", nil, true},
		{"outside ASCII", "\u00e9", nil, true},
		{"no-break space", "a\u00a0b", nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := oauth.ParseScope(test.in)
			if (reason(t, err) == oauth.ScopeMalformed) != test.refused {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScope(t *testing.T) {
	allowed := oauth.Scope{"a", "b"}
	for _, test := range []struct {
		asked  oauth.Scope
		beyond string
		text   string
	}{
		{nil, "", ""},
		{oauth.Scope{"b"}, "", "b"},
		{oauth.Scope{"b", "a"}, "", "b a"},
		{oauth.Scope{"a", "ab"}, "ab", "a ab"},
		{oauth.Scope{"A", "x"}, "A", "A x"},
	} {
		if got := test.asked.Beyond(allowed); got != test.beyond {
			t.Errorf("%s beyond %s: %q, want %q", test.asked, allowed, got, test.beyond)
		}
		if got := test.asked.String(); got != test.text {
			t.Errorf("%q, want %q", got, test.text)
		}
	}
	if !allowed.Has("a") || allowed.Has("") || allowed.Has("A") {
		t.Error("Has does not compare exactly")
	}
}
