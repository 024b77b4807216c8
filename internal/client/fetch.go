package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/sync/singleflight"
)

// The bounds of a fetch.
const (
	// MaxKeys bounds the keys of one set, fetched or inline.
	MaxKeys = 20
	// MaxKeySet bounds the document, in bytes.
	MaxKeySet = 64 << 10
	// MaxLogo bounds a client's picture, in bytes.
	MaxLogo = 256 << 10

	connectTimeout = 2 * time.Second
	maxHeaders     = 64 << 10
	lane           = 16 // fetches at a time, in each lane
)

// document is what a fetcher gets, and within which bounds.
type document struct {
	name   string        // as errors call it
	accept string        // the media types asked for; what comes is judged by its bytes alone
	most   int           // bytes
	within time.Duration // a fetch, with the wait for its place
}

var (
	keySetDocument = document{"key set", "application/jwk-set+json, application/json", MaxKeySet, 5 * time.Second}
	logoDocument   = document{"logo", "image/png, image/jpeg", MaxLogo, 2 * time.Second}
)

// Vetting is what an outbound request must pass: the operator's exceptions and the server's own names.
type Vetting struct {
	Own           []string       // base URLs of this server, which a client cannot name as the host of its keys; "": none
	AllowCIDRs    []netip.Prefix // ranges that are exempt from the address and port rules
	AllowLoopback bool           // development: loopback hosts, also over http and on any port
	RootCAs       *x509.CertPool // nil: the system's
	Resolver      *net.Resolver  // nil: the system's
}

// Fetcher gets documents of one kind from hosts that clients name.
type Fetcher struct {
	wanted  document
	http    *http.Client
	proven  chan struct{} // places for hosts that have answered before
	untried chan struct{} // places for hosts that never have: their silence stalls only each other
	flights singleflight.Group
}

// NewFetcher makes a fetcher of JWK sets.
func NewFetcher(v Vetting) *Fetcher { return newFetcher(v, keySetDocument) }

// newFetcher makes a fetcher with lanes of its own, so that hosts of one kind of document stall none of another: https by
// its rules, HTTP/1.1 only, no proxy, no redirects, no cookies, no compression, no connection kept, and the address vetted
// after the name was resolved, at the moment of dialling, so that a name that resolves differently the second time gains
// nothing.
func newFetcher(v Vetting, wanted document) *Fetcher {
	guard := ssrf.New(ssrf.WithPorts(443, 8443))
	dialer := &net.Dialer{Timeout: connectTimeout, Resolver: v.Resolver, Control: func(network, address string, c syscall.RawConn) error {
		if v.exempt(address) {
			return nil
		}
		return guard.Safe(network, address, c)
	}}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &Fetcher{
		wanted: wanted,
		http: &http.Client{
			Timeout:       wanted.within,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:            dialer.DialContext,
				TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: v.RootCAs},
				TLSHandshakeTimeout:    connectTimeout,
				MaxResponseHeaderBytes: maxHeaders,
				DisableCompression:     true,
				DisableKeepAlives:      true,
				Protocols:              &http1,
			},
		},
		proven:  make(chan struct{}, lane),
		untried: make(chan struct{}, lane),
	}
}

// exempt tells whether the dialled address lies in a range that the operator listed.
func (v Vetting) exempt(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap()
	if v.AllowLoopback && ip.IsLoopback() {
		return true
	}
	for _, p := range v.AllowCIDRs {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// FetchResult is how a fetch ended, for the metrics.
type FetchResult string

// The results of a fetch.
const (
	FetchOK       FetchResult = "ok"
	FetchUnusable FetchResult = "unusable" // the host answered, with something else than a key set
	FetchRefused  FetchResult = "refused"  // the address is not one that is dialled
	FetchFailed   FetchResult = "failed"   // no answer
)

// FetchResults are all results, for whoever counts them.
func FetchResults() []FetchResult {
	return []FetchResult{FetchOK, FetchUnusable, FetchRefused, FetchFailed}
}

// unusable is the error of an answer that is not what was asked for.
type unusable struct{ error }

func resultOf(err error) FetchResult {
	switch {
	case err == nil:
		return FetchOK
	case errors.As(err, &unusable{}):
		return FetchUnusable
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return FetchRefused
	}
	return FetchFailed
}

// fetched is a document and for how long its host says it stays good.
type fetched struct {
	raw    []byte
	maxAge time.Duration
}

// fetch gets the document behind a vetted URI; those who ask at once for the same one share the answer.
func (f *Fetcher) fetch(ctx context.Context, uri string, answeredBefore bool) (fetched, error) {
	v, err, _ := f.flights.Do(uri, func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, f.wanted.within)
		defer cancel()
		places := f.untried
		if answeredBefore {
			places = f.proven
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return fetched{}, fmt.Errorf("too many hosts of a %s are being asked", f.wanted.name)
		}
		return f.get(ctx, uri)
	})
	if err != nil {
		return fetched{}, err
	}
	return v.(fetched), nil
}

func (f *Fetcher) get(ctx context.Context, uri string) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return fetched{}, err
	}
	req.Header.Set("Accept", f.wanted.accept)
	req.Header.Set("User-Agent", "authserver")
	resp, err := f.http.Do(req)
	if err != nil {
		return fetched{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return fetched{}, unusable{fmt.Errorf("the %s's host answered %d", f.wanted.name, resp.StatusCode)}
	case resp.Header.Get("Content-Encoding") != "":
		return fetched{}, unusable{fmt.Errorf("the %s came compressed", f.wanted.name)}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, int64(f.wanted.most)+1))
	if err != nil {
		return fetched{}, err
	}
	if len(raw) > f.wanted.most {
		return fetched{}, unusable{fmt.Errorf("the %s is longer than %d bytes", f.wanted.name, f.wanted.most)}
	}
	return fetched{raw: raw, maxAge: maxAge(resp.Header.Get("Cache-Control"))}, nil
}

// maxAge reads Cache-Control, held between one minute and ten; five where it says nothing.
func maxAge(cacheControl string) time.Duration {
	age := defaultMaxAge
	for directive := range strings.SplitSeq(strings.ToLower(cacheControl), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minMaxAge
		case "max-age":
			if s, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				age = time.Duration(s) * time.Second
			}
		}
	}
	return min(max(age, minMaxAge), maxMaxAge)
}
