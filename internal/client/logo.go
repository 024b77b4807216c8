package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// The life of a logo.
const (
	// LogoMaxAge is how long a logo serves without asking its host again, here and in a browser.
	LogoMaxAge = 24 * time.Hour
	// LogoLife is how long the last good one serves while its host gives none.
	LogoLife = 7 * 24 * time.Hour

	// logoEvery bounds the attempts for one client, however the last one ended and whatever was registered since: nobody
	// can have us ask a host again and again by looking at pages.
	logoEvery = 5 * time.Minute
	// maxAttempts bounds the attempts for all clients in that time, and what is remembered of them.
	maxAttempts = 1024

	logoTimeout = 8 * time.Second // for all about one request, which may take longer
	maxLogoSide = 2048            // pixels
)

// Logo is the picture of a client as it came from a logo_uri.
type Logo struct {
	URI         string
	ContentType string // image/png or image/jpeg, by its bytes
	Body        []byte // at most MaxLogo
	At          time.Time
}

// LogoKeeper keeps the last good logo of a client beside its record.
type LogoKeeper interface {
	Finder
	// Logo finds the logo that was saved last; found is false when there is none.
	Logo(ctx context.Context, clientID string) (l Logo, found bool, err error)
	SaveLogo(ctx context.Context, clientID string, l Logo) error
}

// Logos are the pictures of clients, for people's eyes. They come from our own origin, so that a browser on our pages tells
// a client's host nothing.
type Logos struct {
	vetting Vetting
	fetcher *Fetcher
	keeper  LogoKeeper
	log     *slog.Logger
	now     func() time.Time
	flights singleflight.Group

	mu        sync.Mutex
	attempted map[string]time.Time // by client
}

// NewLogos fetches logos in lanes of their own.
func NewLogos(v Vetting, k LogoKeeper, log *slog.Logger, now func() time.Time) *Logos {
	return &Logos{
		vetting: v, fetcher: newFetcher(v, logoDocument), keeper: k, log: log, now: now, attempted: map[string]time.Time{},
	}
}

// LogoPath is where the client's logo stands, below the issuer; "" when it has registered none that is ever fetched.
func (c Client) LogoPath() string {
	if u, err := url.Parse(c.Metadata.LogoURI); err != nil || u.Scheme != "https" {
		return ""
	}
	return "/logos/" + c.ID
}

// Find finds the logo of an active client, fetched if need be. found is false when there is none to be had. Those who ask at
// once for the same client share the answer; it does not end with the request that asked first.
func (l *Logos) Find(ctx context.Context, clientID string) (logo Logo, found bool, err error) {
	v, err, _ := l.flights.Do(clientID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoTimeout)
		defer cancel()
		return l.find(ctx, clientID)
	})
	if err != nil {
		return Logo{}, false, err
	}
	logo = v.(Logo)
	return logo, logo.Body != nil, nil
}

// find asks the store itself for the client: a deleted one's logo is gone at once.
func (l *Logos) find(ctx context.Context, clientID string) (Logo, error) {
	c, found, err := l.keeper.FindClient(ctx, clientID)
	if err != nil || !found || c.LogoPath() == "" {
		return Logo{}, err
	}
	kept, found, err := l.keeper.Logo(ctx, clientID)
	if err != nil {
		return Logo{}, err
	}
	if !found || kept.URI != c.Metadata.LogoURI {
		kept = Logo{}
	}
	now := l.now()
	if now.Sub(kept.At) >= LogoMaxAge && l.attempt(clientID, now) {
		if fresh, err := l.fetch(ctx, c, kept.Body != nil); err == nil {
			return fresh, nil
		}
	}
	if now.Sub(kept.At) >= LogoLife {
		return Logo{}, nil
	}
	return kept, nil
}

// attempt tells whether the client's host may be asked, and counts it.
func (l *Logos) attempt(clientID string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.attempted[clientID]) < logoEvery {
		return false
	}
	if len(l.attempted) >= maxAttempts {
		maps.DeleteFunc(l.attempted, func(_ string, last time.Time) bool { return now.Sub(last) >= logoEvery })
	}
	if len(l.attempted) >= maxAttempts {
		return false
	}
	l.attempted[clientID] = now
	return true
}

// fetch gets a client's logo from its host and keeps it. One that cannot be kept serves this once.
func (l *Logos) fetch(ctx context.Context, c Client, answeredBefore bool) (Logo, error) {
	logo := Logo{URI: c.Metadata.LogoURI}
	err := l.vetting.CheckURI(logo.URI)
	if err == nil {
		var got fetched
		got, err = l.fetcher.fetch(ctx, logo.URI, answeredBefore)
		logo.Body = got.raw
	}
	if err == nil {
		logo.ContentType, err = pictureType(logo.Body)
	}
	if err != nil {
		l.log.Warn("client logo not fetched", "client_id", c.ID, "cause", err.Error())
		return Logo{}, err
	}
	logo.At = l.now()
	if err := l.keeper.SaveLogo(ctx, c.ID, logo); err != nil {
		l.log.Warn("client logo not stored", "client_id", c.ID, "cause", err.Error())
	}
	return logo, nil
}

// The last bytes of a whole picture: the chunk IEND of a PNG, the marker EOI of a JPEG.
const (
	pngEnd  = "\x00\x00\x00\x00IEND\xaeB`\x82"
	jpegEnd = "\xff\xd9"
)

// pictureType tells the content type of a picture by its bytes alone: a whole PNG or JPEG that no browser chokes on. An SVG
// is none, since it is a document that can bear anything.
func pictureType(raw []byte) (string, error) {
	var config image.Config
	var err error
	var end string
	contentType := http.DetectContentType(raw)
	switch contentType {
	case "image/png":
		config, err = png.DecodeConfig(bytes.NewReader(raw))
		end = pngEnd
	case "image/jpeg":
		config, err = jpeg.DecodeConfig(bytes.NewReader(raw))
		end = jpegEnd
	default:
		return "", fmt.Errorf("the logo is of the type %q, expected image/png or image/jpeg", contentType)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("the logo cannot be read: %w", err)
	case config.Width > maxLogoSide || config.Height > maxLogoSide:
		return "", fmt.Errorf("the logo is %d by %d pixels, expected at most %d", config.Width, config.Height, maxLogoSide)
	case !bytes.HasSuffix(raw, []byte(end)):
		return "", errors.New("the logo is cut off, or something stands behind it")
	}
	return contentType, nil
}
