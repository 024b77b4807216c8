package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogoIsAPicture: what is shown is a whole picture by its bytes, whatever its host says it is.
func TestLogoIsAPicture(t *testing.T) {
	small, photo := pngOf(t, 3, 2), jpegOf(t, 3, 2)
	var animation bytes.Buffer
	if err := gif.Encode(&animation, image.NewGray(image.Rect(0, 0, 1, 1)), nil); err != nil {
		t.Fatal(err)
	}
	const svg = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
	const html = `<!DOCTYPE html><script>alert(1)</script>`
	// long is a PNG with bytes between its head and its end: who reads it all would notice, nobody needs to.
	long := func(size int) string {
		return small[:len(small)-len(pngEnd)] + strings.Repeat("x", size-len(small)) + pngEnd
	}
	for name, test := range map[string]struct{ document, want string }{
		"a PNG":                   {small, "image/png"},
		"a JPEG":                  {photo, "image/jpeg"},
		"as wide as may be":       {pngOf(t, 2048, 1), "image/png"},
		"as high as may be":       {jpegOf(t, 1, 2048), "image/jpeg"},
		"256 KiB":                 {long(MaxLogo), "image/png"},
		"256 KiB and a byte":      {long(MaxLogo + 1), ""},
		"too wide":                {pngOf(t, 2049, 1), ""},
		"too high":                {jpegOf(t, 1, 2049), ""},
		"nothing":                 {"", ""},
		"SVG":                     {svg, ""},
		"SVG behind a prolog":     {`<?xml version="1.0"?>` + svg, ""},
		"HTML":                    {html, ""},
		"HTML behind eight bytes": {small[:8] + html, ""},
		"HTML behind a PNG":       {small + html, ""},
		"HTML behind a JPEG":      {photo + html, ""},
		"JavaScript":              {"alert(1)", ""},
		"GIF":                     {animation.String(), ""},
		"WebP":                    {"RIFF\x1a\x00\x00\x00WEBPVP8L" + strings.Repeat("x", 14), ""},
		"half a PNG":              {small[:len(small)/2], ""},
		"a PNG but its last byte": {small[:len(small)-1], ""},
		"a JPEG without its end":  {photo[:len(photo)-2], ""},
		"a PNG that was changed":  {strings.Replace(small, "IHDR\x00", "IHDR\x01", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, picture(test.document))
			g := newGallery(t, h.vetting(), h.URL+"/logo")
			logo, found, err := g.Find(t.Context(), "c1")
			if err != nil || found != (test.want != "") || logo.ContentType != test.want {
				t.Errorf("found %v, %q, want %q; %v; the log: %s", found, logo.ContentType, test.want, err, g.logged())
			}
			if found && string(logo.Body) != test.document || found != (g.album.saves == 1) {
				t.Errorf("found %v with %d bytes, saved %d times", found, len(logo.Body), g.album.saves)
			}
			h.wantHits(t, name, 1)
		})
	}
}

// TestLogoHost: a logo is fetched by the rules of a key set, and from nowhere that those refuse.
func TestLogoHost(t *testing.T) {
	small := pngOf(t, 3, 2)
	good := newHost(t, picture(small))
	var asked http.Header
	good.answer(func(w http.ResponseWriter, r *http.Request) { asked = r.Header.Clone(); picture(small)(w, r) })
	g := newGallery(t, good.vetting(), good.URL+"/logo")
	g.wants("control", "c1", small)
	if got := asked.Get("Accept"); len(asked) != 3 || got != "image/png, image/jpeg" {
		t.Errorf("the host was told %v", asked)
	}
	good.answer(picture(small))
	deployed := good.vetting()
	deployed.AllowLoopback = false
	ourselves := good.vetting()
	ourselves.Own = []string{good.URL}
	plain := httptest.NewServer(picture(small))
	defer plain.Close()
	redirect := newHost(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, good.URL, http.StatusFound) })
	both := redirect.vetting()
	both.RootCAs.AddCert(good.Certificate())

	before := good.hits.Load()
	for name, test := range map[string]struct {
		vetting Vetting
		uri     string
	}{
		"SS-10 a redirect":                       {both, redirect.URL},
		"SS-01 a private address":                {deployed, good.URL},
		"SS-07 http, on a laptop too":            {good.vetting(), plain.URL},
		"SS-06 data":                             {good.vetting(), "data:image/png;base64,AAAA"},
		"SS-11 a user name":                      {good.vetting(), strings.Replace(good.URL, "127.0.0.1", "user:pw@127.0.0.1", 1)},
		"this server itself":                     {ourselves, good.URL},
		"SS-15 a certificate of somebody else's": {Vetting{Own: []string{issuer}, AllowLoopback: true}, good.URL},
		"none":                                   {good.vetting(), ""},
		"what is no URI":                         {good.vetting(), "https://[::1"},
	} {
		g := newGallery(t, test.vetting, test.uri)
		g.wants(name, "c1", "")
		g.wants(name+", again", "c1", "")
		if n := strings.Count(g.logged(), "client logo not fetched"); n > 1 {
			t.Errorf("%s: %d records", name, n)
		}
	}
	if _, err := newFetcher(deployed, logoDocument).fetch(t.Context(), good.URL, false); resultOf(err) != FetchRefused {
		t.Errorf("SS-08 an address that is known only when it is dialled: %v", err)
	}
	good.wantHits(t, "refused", before)
	redirect.wantHits(t, "SS-10", 1)
	for name, answer := range map[string]http.HandlerFunc{
		"503": fails, "206": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			picture(small)(w, r)
		},
		"SS-14 compressed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			picture(small)(w, r)
		},
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(small)+1))
			_, _ = io.WriteString(w, small)
		},
	} {
		good.answer(answer)
		newGallery(t, good.vetting(), good.URL).wants(name, "c1", "")
	}
}

// TestLogoIsKept: one fetch serves for a day and one that fails for minutes; the last good one for a week.
func TestLogoIsKept(t *testing.T) {
	old, fresh := pngOf(t, 1, 1), pngOf(t, 2, 2)
	h := newHost(t, picture(old))
	g := newGallery(t, h.vetting(), h.URL+"/logo")
	step := func(what string, later time.Duration, want string, hits int64) {
		t.Helper()
		g.clock.advance(later)
		g.wants(what, "c1", want)
		h.wantHits(t, what, hits)
	}
	step("the first time", 0, old, 1)
	h.answer(picture(fresh))
	step("within a day", LogoMaxAge-time.Second, old, 1)
	other := NewLogos(h.vetting(), g.album, slog.New(slog.DiscardHandler), g.clock.now)
	if logo, found, err := other.Find(t.Context(), "c1"); !found || err != nil || string(logo.Body) != old {
		t.Error("another replica", found, err)
	}
	h.wantHits(t, "another replica", 1)
	step("a day later", time.Second, fresh, 2)

	h.answer(fails)
	step("its host is down: the last good one", LogoMaxAge, fresh, 3)
	step("its host is left alone", logoEvery-time.Second, fresh, 3)
	step("and asked again", time.Second, fresh, 4)
	step("for a week", LogoLife-LogoMaxAge-logoEvery-time.Second, fresh, 5)
	step("no longer", time.Second, "", 5)
	step("down still", logoEvery, "", 6)
	h.answer(picture(svgLogo))
	step("no picture", logoEvery, "", 7)
	h.answer(picture(old))
	step("left alone", logoEvery-time.Second, "", 7)
	step("back again", time.Second, old, 8)
}

const svgLogo = `<svg xmlns="http://www.w3.org/2000/svg"/>`

// TestLogoOfARecord: what people see is what the client has registered now, and a deleted client has none.
func TestLogoOfARecord(t *testing.T) {
	one, two := pngOf(t, 1, 1), pngOf(t, 2, 2)
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		picture(map[string]string{"/one": one, "/two": two}[r.URL.Path])(w, r)
	})
	g := newGallery(t, h.vetting(), h.URL+"/one")
	g.wants("unknown", "c2", "")
	h.wantHits(t, "unknown", 0)
	g.wants("registered", "c1", one)
	g.register("c1", h.URL+"/two")
	g.wants("changed just now: not the picture of before, and the host not at once", "c1", "")
	h.wantHits(t, "changed just now", 1)
	g.clock.advance(logoEvery)
	g.wants("changed", "c1", two)
	g.register("c1", "")
	g.wants("taken away", "c1", "")
	g.register("c1", h.URL+"/two")
	g.wants("and put back", "c1", two)
	h.wantHits(t, "and put back", 2)
	delete(g.album.clients, "c1")
	g.wants("deleted", "c1", "")
	h.wantHits(t, "deleted", 2)
}

// TestLogoCannotBeKept: a picture that the store refuses serves once and does not send us to its host all the time; a store
// that cannot find anything is told of.
func TestLogoCannotBeKept(t *testing.T) {
	small := pngOf(t, 1, 1)
	h := newHost(t, picture(small))
	g := newGallery(t, h.vetting(), h.URL+"/logo")
	g.album.refuses = errors.New("the disk is full")
	g.wants("not stored", "c1", small)
	g.wants("not stored, again", "c1", "")
	h.wantHits(t, "not stored", 1)
	if !strings.Contains(g.logged(), "client logo not stored") {
		t.Errorf("the log does not say so: %s", g.logged())
	}
	g.album.down = errors.New("no database")
	if _, found, err := g.Find(t.Context(), "c1"); found || !errors.Is(err, g.album.down) {
		t.Error(found, err)
	}
}

// TestLogoAttempts: within five minutes no more hosts are asked than there is room to remember.
func TestLogoAttempts(t *testing.T) {
	g := newGallery(t, production, "")
	for i := range maxAttempts {
		if !g.attempt(fmt.Sprint(i), g.clock.now()) {
			t.Fatalf("attempt %d is refused", i)
		}
	}
	if g.attempt("one more", g.clock.now()) {
		t.Error("more attempts than may be")
	}
	g.clock.advance(logoEvery)
	if !g.attempt("one more", g.clock.now()) || len(g.attempted) != 1 {
		t.Errorf("%d are remembered still", len(g.attempted))
	}
}

// TestLogoFlights: those who look at once share one fetch, and it goes on without the one who came first.
func TestLogoFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, small := newNetwork(), pngOf(t, 1, 1)
		var hits atomic.Int64
		release := make(chan struct{})
		uri := n.serve(t, 443, func(w http.ResponseWriter, r *http.Request) { hits.Add(1); <-release; picture(small)(w, r) })
		g := n.gallery(t, uri)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		see := func(ctx context.Context) {
			all.Go(func() {
				if logo, found, err := g.Find(ctx, "c1"); err != nil || !found || string(logo.Body) != small {
					t.Errorf("found %v, %v; %s", found, err, g.logged())
				}
			})
			synctest.Wait()
		}
		see(first)
		for range 9 {
			see(t.Context())
		}
		leave()
		synctest.Wait()
		close(release)
		all.Wait()
		if hits.Load() != 1 || g.album.saves != 1 {
			t.Errorf("%d requests, %d saved", hits.Load(), g.album.saves)
		}
	})
}

// TestLogoHostsStallNobody: SS-13, JK-16: a slow host is given up after two seconds, and many of them take no place of those
// that have answered before.
func TestLogoHostsStallNobody(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{"no answer": hang, "1 KiB a second for ever": drip} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			g := n.gallery(t, n.serve(t, 1, handler))
			if got := took(func() { g.wants(name, "c1", "") }); got != 2*time.Second {
				t.Errorf("%s: ended after %s", name, got)
			}
			if got := took(func() { g.wants(name, "c1", "") }); got != 0 {
				t.Errorf("%s: the next one waited %s", name, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		n, old, fresh := newNetwork(), pngOf(t, 1, 1), pngOf(t, 2, 2)
		good := n.serve(t, 443, picture(fresh))
		g := n.gallery(t, good)
		g.album.saved["c1"] = Logo{URI: overTLS(good), ContentType: "image/png", Body: []byte(old), At: t0.Add(-LogoMaxAge)}
		var ended sync.WaitGroup
		for i := range 2 * lane {
			id := fmt.Sprint("dead", i)
			g.register(id, n.mute(1000+i))
			ended.Go(func() { g.wants(id, id, "") })
		}
		synctest.Wait()
		if got := took(func() { g.wants("a host that has answered before", "c1", fresh) }); got != 0 {
			t.Errorf("a host that has answered before waited %s behind dead ones", got)
		}
		if got := took(ended.Wait); got != 2*time.Second {
			t.Errorf("the last dead host ended after %s", got)
		}
	})
}
