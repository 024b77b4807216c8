package client

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// pngOf and jpegOf are pictures of such a size.
func pngOf(t testing.TB, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.Black})); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func jpegOf(t testing.TB, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// album keeps logos and the records that they belong to.
type album struct {
	registry
	saved   map[string]Logo
	saves   int
	refuses error
}

func (a *album) Logo(_ context.Context, clientID string) (Logo, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	logo, found := a.saved[clientID]
	return logo, found, nil
}

func (a *album) SaveLogo(_ context.Context, clientID string, logo Logo) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saves++
	if a.refuses == nil {
		a.saved[clientID] = logo
	}
	return a.refuses
}

// gallery is one replica's Logos with everything that they stand on.
type gallery struct {
	*Logos
	t     testing.TB
	clock *clock
	album *album
	log   *lockedBuffer
}

// newGallery has one client, c1, with a logo at uri.
func newGallery(t testing.TB, v Vetting, uri string) *gallery {
	g := &gallery{t: t, clock: &clock{at: t0}, log: &lockedBuffer{}, album: &album{saved: map[string]Logo{}}}
	g.album.clients = map[string]Client{}
	g.register("c1", uri)
	g.Logos = NewLogos(v, g.album, slog.New(slog.NewTextHandler(g.log, nil)), g.clock.now)
	return g
}

func (g *gallery) register(id, uri string) {
	g.album.put(Client{ID: id, Metadata: Metadata{LogoURI: uri}})
}

func (g *gallery) logged() string {
	g.log.mu.Lock()
	defer g.log.mu.Unlock()
	return g.log.b.String()
}

// gallery is one with hosts in memory, whose TLS is left out.
func (n *network) gallery(t testing.TB, uri string) *gallery {
	g := newGallery(t, inHouse, overTLS(uri))
	transport := g.fetcher.http.Transport.(*http.Transport)
	transport.DialContext = n.fetcher().http.Transport.(*http.Transport).DialContext
	transport.DialTLSContext = transport.DialContext
	return g
}

func overTLS(uri string) string { return strings.Replace(uri, "http:", "https:", 1) }

// wants demands what people see of a client; "" is nothing.
func (g *gallery) wants(what, id, body string) {
	g.t.Helper()
	logo, found, err := g.Find(g.t.Context(), id)
	if err != nil || found != (body != "") || string(logo.Body) != body {
		g.t.Errorf("%s: found %v with %d bytes, want %d; %v; the log: %s", what, found, len(logo.Body), len(body), err, g.logged())
	}
}

// picture answers with a document that its host says is something else.
func picture(document string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, document)
	}
}
