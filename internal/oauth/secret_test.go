package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"authserver/internal/oauth"
)

const hush = "hunter2-hunter2"

// holder is a struct that somebody logs as a whole.
type holder struct {
	Token  oauth.Secret
	Tokens []oauth.Secret
	ByName map[string]oauth.Secret
	Ref    *oauth.Secret
}

func newHolder() holder {
	s := oauth.Secret(hush)
	return holder{Token: s, Tokens: []oauth.Secret{s}, ByName: map[string]oauth.Secret{"a": s}, Ref: &s}
}

// silent demands that the text holds neither the secret nor its usual encodings.
func silent(t *testing.T, where, text string) {
	t.Helper()
	for _, spelling := range []string{hush, fmt.Sprintf("%x", hush), fmt.Sprintf("%X", hush), fmt.Sprintf("% x", hush), fmt.Sprint([]byte(hush))} {
		if strings.Contains(text, spelling) {
			t.Errorf("%s prints the secret: %s", where, text)
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	for _, value := range []any{oauth.Secret(hush), newHolder(), []any{oauth.Secret(hush)}} {
		for verb := 'A'; verb <= 'z'; verb++ {
			if verb == 'p' || verb == 'w' {
				continue // of these two package fmt asks no value how it prints; vet refuses them here
			}
			for _, flags := range []string{"", "+", "#", " ", "20", ".3", "-", "0"} {
				format := "%" + flags + string(verb)
				silent(t, format, fmt.Sprintf(format, value))
			}
		}
		for _, format := range []string{"no verb", "%v twice %v", "100%"} {
			silent(t, format, fmt.Sprintf(format, value))
		}
		silent(t, "Sprint", fmt.Sprint(value))
		silent(t, "Sprintln", fmt.Sprintln(value))
		silent(t, "an error", fmt.Errorf("cannot use %v: %w", value, errors.ErrUnsupported).Error())
	}
	if got := fmt.Sprintf("%s|%v|%q|%#v", oauth.Secret("a"), oauth.Secret("b"), oauth.Secret("c"), oauth.Secret("d")); got != "[redacted]|[redacted]|[redacted]|[redacted]" {
		t.Error(got)
	}
}

func TestSecretDoesNotMarshal(t *testing.T) {
	for name, value := range map[string]any{
		"alone": oauth.Secret(hush), "in a struct": newHolder(), "in a list": []oauth.Secret{hush},
	} {
		document, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		silent(t, "json "+name, string(document))
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", value, slog.Group("g", "v", value))
		slog.New(slog.NewTextHandler(&b, nil)).With("w", value).Info("m", "v", value, slog.Any("pointer", &value))
		silent(t, "slog "+name, b.String())
		if strings.Count(b.String(), "[redacted]") < 3 {
			t.Errorf("slog %s: %s", name, b.String())
		}
	}
}

func TestSecretIsItself(t *testing.T) {
	s := oauth.Secret(hush)
	if s.Reveal() != hush || s.String() != "[redacted]" {
		t.Error(s.Reveal(), s.String())
	}
	want := sha256.Sum256([]byte(hush))
	if !bytes.Equal(s.Hash(), want[:]) {
		t.Errorf("%x", s.Hash())
	}
	seen := map[string]bool{}
	for range 100 {
		fresh := oauth.NewSecret().Reveal()
		if seen[fresh] || !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(fresh) {
			t.Errorf("GEN-15 %q", fresh)
		}
		seen[fresh] = true
	}
}
