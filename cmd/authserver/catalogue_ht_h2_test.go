package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"authserver/internal/flow"
)

// attacksOnHTTP2 are played with raw frames (RFC 9113 §4.1), since no client library sends them.
func attacksOnHTTP2() []attack {
	return []attack{{"HT-14", rapidReset}, {"HT-20", hostileFrames}}
}

// Frame types and flags of RFC 9113 §6.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameContinuation = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9

	endStream, endHeaders = 0x1, 0x4
)

// frame is one frame as bytes.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// requestHeaders are the fields of a request (RFC 7541: 0x83 is POST, 0x82 GET, 0x87 https; the rest are literals).
func requestHeaders(method byte, path, contentType string) []byte {
	block := append([]byte{method, 0x87, 0x04, byte(len(path))}, path...)
	block = append(append(block, 0x01, byte(len("as.example"))), "as.example"...)
	if contentType != "" {
		block = append(append(block, 0x0f, 0x10, byte(len(contentType))), contentType...)
	}
	return block
}

const methodGET, methodPOST = 0x82, 0x83

// frames is an HTTP/2 connection of bare frames.
type frames struct {
	*tls.Conn
	t testing.TB
}

// http2 opens a connection and says hello on it.
func (r *bounded) http2(t *testing.T) frames {
	t.Helper()
	tcp, err := net.Dial("tcp", r.public)
	if err != nil {
		t.Fatal(err)
	}
	_ = tcp.(*net.TCPConn).SetReadBuffer(4 << 10)
	conn := tls.Client(tcp, &tls.Config{RootCAs: r.d.authority.pool(), ServerName: "as.example", NextProtos: []string{"h2"}})
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Minute)) // far beyond what the server allows, on the slowest machine too
	if err := conn.Handshake(); err != nil || conn.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatal(err, conn.ConnectionState().NegotiatedProtocol)
	}
	f := frames{conn, t}
	_ = f.send([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameSettings, 0, 0, nil))
	return f
}

// send writes frames in one go. Its error, which a closed connection is, is for those who wait for it.
func (f frames) send(all ...[]byte) error {
	_, err := f.Write(bytes.Join(all, nil))
	return err
}

// flood sends the same frames again and again, reading nothing, until the server closes the connection.
func (f frames) flood(pause time.Duration, all ...[]byte) {
	f.t.Helper()
	for {
		if err := f.send(all...); err != nil {
			if isTimeout(err) {
				f.t.Error("the connection is not closed")
			}
			return
		}
		time.Sleep(pause)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// answered reads until a stream is answered, and tells false when the server closes the connection instead.
func (f frames) answered(stream uint32) bool {
	f.t.Helper()
	reader := bufio.NewReader(f.Conn)
	for {
		var head [9]byte
		if _, err := io.ReadFull(reader, head[:]); err != nil {
			if isTimeout(err) {
				f.t.Error("neither an answer nor the end of the connection")
			}
			return false
		}
		_, _ = io.CopyN(io.Discard, reader, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		if head[3] == frameHeaders && binary.BigEndian.Uint32(head[5:])&0x7fffffff == stream {
			return true
		}
	}
}

// behindTLS is a replica that speaks HTTP/2, and a client at it.
func behindTLS(t *testing.T) (*bounded, *flow.Client) {
	t.Helper()
	d := deploy(t, 1, func(s *settings) { s.Issuer = "https://as.example" })
	r := d.bounded(t)
	return r, r.at(t, d.register(0))
}

// rapidReset opens and resets 10,000 streams (CVE-2023-44487). net/http closes the connection when more than a thousand of
// them wait for a handler; here the handlers may keep up. In either case few of them work at once, and others are served.
func rapidReset(t *testing.T, _ *deployment) {
	r, good := behindTLS(t)
	bearer := append([]byte{0x0f, 0x08, 8}, "Bearer x"...)
	var burst bytes.Buffer
	for stream := uint32(1); stream < 20_000; stream += 2 {
		if stream%4 == 1 { // a body that never comes
			burst.Write(frame(frameHeaders, endHeaders, stream, requestHeaders(methodPOST, "/oauth2/token", formMedia)))
		} else { // a question to the database
			burst.Write(frame(frameHeaders, endHeaders|endStream, stream, append(requestHeaders(methodGET, "/fdx/v6/register/x", ""), bearer...)))
		}
		burst.Write(frame(frameReset, 0, stream, []byte{0, 0, 0, 8}))
	}
	attacker, before := r.http2(t), runtime.NumGoroutine()
	sent := make(chan struct{})
	go func() { _ = attacker.send(burst.Bytes()); close(sent) }()
	most := 0
	for range 20 {
		r.d.within(t).expect(good, good.TokenRequest(nil), "200")
		most = max(most, runtime.NumGoroutine()-before)
	}
	if <-sent; most > 1000 { // 250 streams are offered at once
		t.Errorf("%d goroutines worked at once", most)
	}
	const next = 20_001
	_ = attacker.send(frame(frameHeaders, endHeaders|endStream, next, requestHeaders(methodGET, "/oauth2/jwks", "")))
	attacker.answered(next) // or closed
	r.d.within(t).expect(good, good.TokenRequest(nil), "200")
}

// hostileFrames end the connection, except for unknown ones, which RFC 9113 §5.5 wants ignored. Whatever they are, another
// client is served.
func hostileFrames(t *testing.T, _ *deployment) {
	r, good := behindTLS(t)
	openStream := frame(frameHeaders, 0, 1, requestHeaders(methodGET, "/oauth2/jwks", ""))
	for name, play := range map[string]func(f frames){
		"unknown types": func(f frames) {
			for kind := byte(0x0a); kind <= 0x0f; kind++ {
				for _, stream := range []uint32{0, 1, 99} {
					_ = f.send(frame(kind, 0xff, stream, nil), frame(kind, 0, stream, make([]byte, 1000)))
				}
			}
			_ = f.send(frame(frameHeaders, endHeaders|endStream, 101, requestHeaders(methodGET, "/oauth2/jwks", "")))
			if !f.answered(101) {
				f.t.Error("the connection is closed")
			}
		},
		"CONTINUATION flood": func(f frames) { // CVE-2023-45288
			_ = f.send(openStream)
			f.flood(0, bytes.Repeat(frame(frameContinuation, 0, 1, bytes.Repeat([]byte{0x00, 0x01, 'a', 0x01, 'b'}, 1000)), 10))
		},
		// Without a single field they never exceed anything: net/http reads on, and keeps nothing.
		"empty CONTINUATION flood": func(f frames) {
			_ = f.send(openStream)
			more := bytes.Repeat(frame(frameContinuation, 0, 1, nil), 1000)
			allocates(f.t, 16<<20, func() {
				for range 100 {
					_ = f.send(more)
				}
				_ = f.send(frame(frameContinuation, endHeaders, 1, nil))
				f.answered(1)
			})
		},
		"PING flood": func(f frames) { f.flood(0, bytes.Repeat(frame(framePing, 0, 0, make([]byte, 8)), 1000)) },
		"empty DATA flood behind an answer": func(f frames) {
			_ = f.send(frame(frameHeaders, endHeaders, 1, requestHeaders(methodPOST, "/nowhere", formMedia)))
			f.answered(1)
			f.flood(0, bytes.Repeat(frame(frameData, 0, 1, nil), 1000))
		},
		"a frame longer than was agreed": func(f frames) { f.flood(0, frame(frameData, 0, 1, make([]byte, 2<<20))) },
		"DATA before HEADERS":            func(f frames) { f.flood(0, frame(frameData, 0, 1, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := r.http2(t)
			play(f)
			outcome(t, do(t, good.Server, good.TokenRequest(nil)), "200")
		})
	}
}

// HT-20, for as long as it takes: ReadTimeout, 15 s, ends the request that an endless body of nothing keeps open, and then what
// ends the others. It stands beside the catalogue, whose sections would wait for it.
func TestEndlessBodyOfNothing(t *testing.T) {
	t.Parallel()
	r, good := behindTLS(t)
	f := r.http2(t)
	_ = f.send(frame(frameHeaders, endHeaders, 1, requestHeaders(methodPOST, "/oauth2/token", formMedia)))
	closed := make(chan struct{})
	go func() {
		f.flood(20*time.Millisecond, bytes.Repeat(frame(frameData, 0, 1, nil), 500))
		close(closed)
	}()
	f.answered(1) // and from here on nothing is read
	<-closed
	r.d.within(t).expect(good, good.TokenRequest(nil), "200")
}
