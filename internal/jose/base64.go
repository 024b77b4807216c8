package jose

import (
	"encoding/base64"
	"strings"
)

// base64url has no padding and refuses unused bits that are not zero (RFC 7515 §2, RFC 4648 §3.5).
var base64url = base64.RawURLEncoding.Strict()

// decode reads base64url in its only spelling. The library's decoder alone would skip line breaks.
func decode(text string) ([]byte, bool) {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		return nil, false
	}
	octets, err := base64url.DecodeString(text)
	return octets, err == nil
}

func encode(octets []byte) string { return base64url.EncodeToString(octets) }
