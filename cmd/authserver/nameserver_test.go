package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// nameServer is a DNS server of the test's own. Its answers live for no second (TTL 0), so that each look-up asks again.
type nameServer struct {
	net.PacketConn

	mu      sync.Mutex
	answers map[string][]string // to the look-ups of a name, one after the other; the last one stays
	asked   map[string]int
}

func newNameServer(t testing.TB, answers map[string][]string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{PacketConn: conn, answers: answers, asked: map[string]int{}}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() { _ = conn.Close(); serving.Wait() })
	return n
}

// resolver asks this server for all that the system's hosts file does not know.
func (n *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.LocalAddr().String())
	}}
}

// lookups is how often a name's IPv4 addresses were asked for.
func (n *nameServer) lookups(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

func (n *nameServer) serve() {
	buffer := make([]byte, 1500)
	for {
		size, from, err := n.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := n.answer(buffer[:size]); answer != nil {
			_, _ = n.WriteTo(answer, from)
		}
	}
}

const (
	typeA    = 1
	typeAAAA = 28
)

// answer answers one question (RFC 1035 §4.1). A name that is not known has no addresses.
func (n *nameServer) answer(query []byte) []byte {
	if len(query) < 12 {
		return nil
	}
	var labels []string
	rest := query[12:]
	for len(rest) > 0 && rest[0] != 0 && len(rest) > int(rest[0]) {
		labels = append(labels, string(rest[1:1+rest[0]]))
		rest = rest[1+rest[0]:]
	}
	if len(rest) < 5 {
		return nil
	}
	kind := binary.BigEndian.Uint16(rest[1:])
	question := query[12 : len(query)-len(rest)+5]
	addresses := n.addresses(strings.ToLower(strings.Join(labels, ".")), kind)
	header := bytes.Clone(query[:2])
	for _, field := range []uint16{0x8180, 1, uint16(len(addresses)), 0, 0} { // an answer without error, one question
		header = binary.BigEndian.AppendUint16(header, field)
	}
	answer := append(header, question...)
	for _, address := range addresses {
		answer = append(answer, 0xc0, 12) // the name of the question
		answer = binary.BigEndian.AppendUint16(answer, kind)
		answer = append(answer, 0, 1, 0, 0, 0, 0) // IN, TTL 0
		answer = binary.BigEndian.AppendUint16(answer, uint16(len(address)))
		answer = append(answer, address...)
	}
	return answer
}

// addresses are those of the asked type in the name's present answer, a list separated by spaces. Only the question for
// IPv4 turns to the next answer: both are asked at once.
func (n *nameServer) addresses(name string, kind uint16) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[name]
	if len(list) == 0 {
		return nil
	}
	present := list[min(n.asked[name], len(list)-1)]
	if kind == typeA {
		n.asked[name]++
	}
	var found [][]byte
	for text := range strings.FieldsSeq(present) {
		if ip := netip.MustParseAddr(text); ip.Is4() == (kind == typeA) && (kind == typeA || kind == typeAAAA) {
			found = append(found, ip.AsSlice())
		}
	}
	return found
}
