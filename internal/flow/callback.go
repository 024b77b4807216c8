package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// askLimit is how long a person may take, and askAgain how often it is looked whether they have done what nobody tells.
const (
	askLimit = 10 * time.Minute
	askAgain = 2 * time.Second
)

// Callback is a native app's redirect URI on this machine (RFC 8252 §7.3). It waits for one answer.
type Callback struct {
	URI string

	server  *http.Server
	answers chan url.Values
}

// Listen opens a callback on a free port of 127.0.0.1.
func Listen() (*Callback, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Callback{URI: "http://" + listener.Addr().String() + "/callback", answers: make(chan url.Values, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", c.receive)
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go c.server.Serve(listener)
	return c, nil
}

// receive takes the first answer that is one, and thanks for every one.
func (c *Callback) receive(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer") // The URL of this page has the code.
	w.Header().Set("Cache-Control", "no-store")
	if !params.Has("code") && !params.Has("error") && !params.Has("response") {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "<!doctype html><html lang=\"en\"><title>authserver try</title><h1>This is no answer</h1>")
		return
	}
	select {
	case c.answers <- params:
	default: // There is one already.
	}
	io.WriteString(w, "<!doctype html><html lang=\"en\"><title>authserver try</title><h1>You can close this window</h1>")
}

// Wait returns the parameters of the answer, or an error when none came within ten minutes.
func (c *Callback) Wait(ctx context.Context) (url.Values, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	select {
	case answer := <-c.answers:
		return answer, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("nobody answered within %.0f minutes", askLimit.Minutes())
	}
	return nil, ctx.Err()
}

// Close stops listening; a page that is on its way gets a second to leave.
func (c *Callback) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.server.Shutdown(ctx)
	c.server.Close()
}
