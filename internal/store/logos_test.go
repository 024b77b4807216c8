package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// logo is a picture from a host at a time, with the host's name for its body.
func logo(uri string, at time.Time) client.Logo {
	return client.Logo{URI: uri, ContentType: "image/png", Body: []byte(uri), At: at}
}

// wantLogo demands what is kept for a client; nil is nothing.
func wantLogo(t *testing.T, s *store.Store, id string, want *client.Logo) {
	t.Helper()
	got, found, err := s.Logo(t.Context(), id)
	if err != nil || found != (want != nil) {
		t.Errorf("the logo of %q: found %v, %v", id, found, err)
	} else if found {
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("the logo of %q (-want +got):\n%s", id, diff)
		}
	}
}

// TestSaveLogo: the newest fetch stays, in whatever order they are saved, and the client's version stays as it is.
func TestSaveLogo(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a", "b")
	for _, id := range []string{"a", "b", "nobody", "", "zero \x00 byte", "no \xff UTF-8"} {
		wantLogo(t, s, id, nil)
	}
	jpeg := logo("https://two.example", noon.Add(time.Second))
	jpeg.ContentType = "image/jpeg"
	for _, step := range []struct{ save, want client.Logo }{
		{logo("https://one.example", noon), logo("https://one.example", noon)},
		{jpeg, jpeg},
		{logo("https://older.example", noon.Add(time.Millisecond)), jpeg},
		{logo("https://as-old.example", noon.Add(time.Second)), jpeg},
		{logo("https://one.example", noon.Add(time.Minute)), logo("https://one.example", noon.Add(time.Minute))},
	} {
		if err := s.SaveLogo(t.Context(), "a", step.save); err != nil {
			t.Fatal(err)
		}
		wantLogo(t, s, "a", &step.want)
	}
	wantLogo(t, s, "b", nil)
	for _, id := range []string{"a", "b"} {
		want := registered(id)
		want.Version = 1
		wantClient(t, s, id, &want)
	}
}

// TestConcurrentSaveLogo: of many replicas' fetches the newest stays.
func TestConcurrentSaveLogo(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	nth := func(n int) client.Logo {
		return logo(fmt.Sprintf("https://%d.example", n), noon.Add(time.Duration(n)*time.Second))
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := s.SaveLogo(t.Context(), "a", nth(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	newest := nth(19)
	wantLogo(t, s, "a", &newest)
}

// TestLogoBounds: the table itself keeps only pictures of registered clients, and none without bounds.
func TestLogoBounds(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a")
	most := client.Logo{URI: strings.Repeat("u", 2000), ContentType: "image/png", Body: make([]byte, client.MaxLogo), At: noon}
	if err := s.SaveLogo(t.Context(), "a", most); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(l *client.Logo, id *string){
		"of nobody":    func(_ *client.Logo, id *string) { *id = "nobody" },
		"too large":    func(l *client.Logo, _ *string) { l.Body = append(l.Body, 0) },
		"empty":        func(l *client.Logo, _ *string) { l.Body = []byte{} },
		"SVG":          func(l *client.Logo, _ *string) { l.ContentType = "image/svg+xml" },
		"HTML":         func(l *client.Logo, _ *string) { l.ContentType = "text/html" },
		"a longer URI": func(l *client.Logo, _ *string) { l.URI += "u" },
	} {
		l, id := most, "a"
		l.At = noon.Add(time.Hour)
		change(&l, &id)
		if err := s.SaveLogo(t.Context(), id, l); err == nil || isTemporary(err) {
			t.Errorf("%s: %v, want a fault", name, err)
		}
	}
	wantLogo(t, s, "a", &most)
}

// TestSweepLogos: a logo goes when it is too old to be shown, whatever has become of its client.
func TestSweepLogos(t *testing.T) {
	s := storetest.New(t)
	addClients(t, s, "a", "b", "deleted")
	shown := map[string]client.Logo{"a": logo("https://a.example", noon), "b": logo("https://b.example", noon.Add(time.Second)),
		"deleted": logo("https://c.example", noon)}
	for id, l := range shown {
		if err := s.SaveLogo(t.Context(), id, l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeleteClient(t.Context(), "deleted", nil, noon); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, time.Millisecond} {
		if err := s.SweepAuthorizations(t.Context(), threeYears, noon.Add(client.LogoLife+after)); err != nil {
			t.Fatal(err)
		}
		for id, l := range shown {
			if after > 0 && id != "b" {
				wantLogo(t, s, id, nil)
			} else {
				wantLogo(t, s, id, &l)
			}
		}
	}
}
