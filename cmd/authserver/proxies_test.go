package main

import (
	"strings"
	"testing"
)

// DR-16 behind a trusted proxy: the limit counts for each client that the proxy names, however a client rotates what
// stands left of that, and log and audit records name the client.
func TestLimitBehindAProxy(t *testing.T) {
	const limit = 5
	d := deploy(t, 1, func(s *settings) { s.RegistrationLimit, s.TrustedProxies = "5", "127.0.0.0/8, ::1/128" })
	s, k := d.server(0), key(t, "ES256")
	register := func(forwarded string) string {
		t.Helper()
		return do(t, s, s.RegisterRequest(metadata(k)).SetHeader("X-Forwarded-For", forwarded)).Outcome()
	}
	for i, clientAddress := range []string{"203.0.113.7", "203.0.113.8"} {
		registered := 0
		for range 4 * limit {
			forged := strings.Repeat("1", i+1) + ".2.3.4, "
			if register(forged+clientAddress) == "201" {
				registered++
			}
		}
		// One more may pass where the minutes of the sliding window meet.
		if registered < limit || registered > limit+1 {
			t.Errorf("%s registered %d clients, %d a minute are allowed", clientAddress, registered, limit)
		}
		for name, stream := range map[string]string{"log": d.logs.String(), "audit trail": d.trail.String()} {
			if !strings.Contains(stream, `"peer":"`+clientAddress+`"`) || strings.Contains(stream, ".2.3.4") {
				t.Errorf("the %s does not name %s alone", name, clientAddress)
			}
		}
	}
}
