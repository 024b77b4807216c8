package page_test

import (
	"strings"
	"testing"

	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
)

func TestLanguages(t *testing.T) {
	if diff := cmp.Diff([]string{"en", "es", "fr"}, page.Languages()); diff != "" {
		t.Error(diff)
	}
}

// TestLanguage: what the client asks for counts before what the browser asks for, and English answers the rest.
func TestLanguage(t *testing.T) {
	tests := []struct {
		uiLocales, accept string
		want              page.Language
	}{
		{"", "", "en"},
		{"", "es", "es"},
		{"", "fr-CA, fr;q=0.9, en;q=0.8", "fr"},
		{"", "en;q=0.5, es-MX", "es"},
		{"", "es;q=0, fr;q=0.1", "fr"},
		{"", "de, fr;q=0.3, es;q=0.2", "fr"},
		{"", "de", "en"},
		{"", "gl", "es"}, // Galician
		{"", "*", "en"},
		{"", "es;q=x", "en"},
		{"", strings.Repeat("-", 5000), "en"},
		{"fr", "es", "fr"},
		{"es-419 fr", "en", "es"},
		{"de fr-CA", "es", "fr"},
		{"de", "es", "es"},
		{"not_a!tag", "fr", "fr"},
		{"FR", "", "fr"},
	}
	pages := newPages(t, exampleBank, "")
	for _, test := range tests {
		if got := pages.Language(strings.Fields(test.uiLocales), test.accept); got != test.want {
			t.Errorf("ui_locales %q and Accept-Language %.40q: %s, expected %s", test.uiLocales, test.accept, got, test.want)
		}
	}
}
