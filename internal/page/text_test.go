package page_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
)

// alike are the words that are the same in English and in another language, and no omission.
var alike = map[string]bool{"error": true, "scope.other": true}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// catalogue reads a file as it is, so that a key that stands twice is seen.
func catalogue(t *testing.T, l string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("texts/" + l + ".json")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	if err := json.Unmarshal(raw, &words); err != nil {
		t.Fatalf("%s: %v", l, err)
	}
	if n := strings.Count(string(raw), `": "`); n != len(words) {
		t.Errorf("%s has %d lines and %d keys: one stands twice", l, n, len(words))
	}
	return words
}

// TestCatalogues: the same keys with the same placeholders in every language, none empty, none left in English.
func TestCatalogues(t *testing.T) {
	english := catalogue(t, "en")
	for _, l := range page.Languages() {
		words := catalogue(t, l)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(english)), slices.Sorted(maps.Keys(words))); diff != "" {
			t.Errorf("%s has other keys: %s", l, diff)
		}
		for key, text := range words {
			if strings.TrimSpace(text) == "" || strings.TrimSpace(text) != text || strings.Contains(text, "'") {
				t.Errorf("%s: %s is empty, has space around it or a typewriter's apostrophe: %q", l, key, text)
			}
			if diff := cmp.Diff(placeholders(english[key]), placeholders(text)); diff != "" {
				t.Errorf("%s: %s has other placeholders: %s", l, key, diff)
			}
			if l != "en" && text == english[key] && !alike[key] {
				t.Errorf("%s: %s is still English: %q", l, key, text)
			}
		}
	}
}

func placeholders(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// TestEveryKeyIsUsed: the templates and the code name every key, by itself or as one of a family. That no key is missing is
// shown by every page of every test.
func TestEveryKeyIsUsed(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"templates/*.html", "text.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(source)
		}
	}
	scopes := append(untold(), "other")
	happenings := []page.Happening{page.Given, page.Fetched}
	for _, e := range endings {
		happenings = append(happenings, page.Happening(e))
	}
	for key := range catalogue(t, "en") {
		family, rest, _ := strings.Cut(key, ".")
		switch family {
		case "month":
			continue
		case "scope":
			if slices.Contains(scopes, strings.TrimSuffix(rest, ".about")) {
				continue
			}
		case "cluster":
			name := strings.TrimSuffix(rest, ".about")
			if slices.Contains(clusters, name) || slices.Contains(overall, strings.TrimSuffix(name, ".overall")) {
				continue
			}
		case "registry":
			if slices.Contains(registries, rest) {
				continue
			}
		case "happening":
			if slices.Contains(happenings, page.Happening(rest)) {
				continue
			}
		case "problem":
			known := []page.Problem{page.WrongCredentials, page.TooManyAttempts, page.TooBusy, page.NothingChosen}
			if slices.Contains(known, page.Problem(rest)) {
				continue
			}
		case "failure":
			kind, part, _ := strings.Cut(rest, ".")
			if _, known := failures[kind]; known && slices.Contains([]string{"title", "text", "next"}, part) {
				continue
			}
		}
		if !strings.Contains(sources.String(), `"`+key+`"`) {
			t.Errorf("nothing says %s", key)
		}
	}
}
