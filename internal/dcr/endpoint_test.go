package dcr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"
	"authserver/internal/dcr"
	"authserver/internal/oauth"
)

// changing is a store whose one client the operator changes in the moment before the next write.
type changing struct {
	record client.Client
	change func(*client.Client)
	writes int
}

func (s *changing) FindClient(context.Context, string) (client.Client, bool, error) {
	return s.record, true, nil
}

func (s *changing) AddClient(context.Context, client.Client) (bool, error) {
	return false, errors.ErrUnsupported
}

func (s *changing) write(presented []byte) bool {
	if s.change != nil {
		s.change(&s.record)
	}
	if presented != nil && !bytes.Equal(presented, s.record.RegistrationTokenHash) {
		return false
	}
	s.writes++
	return true
}

func (s *changing) UpdateClient(_ context.Context, _ string, presented []byte, _ client.Metadata, _ time.Time) (int64, bool, error) {
	return 2, s.write(presented), nil
}

func (s *changing) DeleteClient(_ context.Context, _ string, presented []byte, _ time.Time) (bool, error) {
	return s.write(presented), nil
}

// TestChangedMeanwhile: a registration access token that the operator replaces while a request by it is being judged
// changes nothing any more; any other change of the record does not get in the way.
func TestChangedMeanwhile(t *testing.T) {
	const token = "the-token-of-the-registration-1234567890"
	body, err := json.Marshal(map[string]any{"grant_types": []string{"client_credentials"}, "response_types": []string{},
		"jwks": json.RawMessage(`{"keys":[` + ecKey + `]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*client.Client)
		want   int
	}{
		"nothing":           {nil, 1},
		"another member":    {func(c *client.Client) { c.Registrar = true }, 1},
		"the token is dead": {func(c *client.Client) { c.RegistrationTokenHash = oauth.NewSecret().Hash() }, 0},
	} {
		for method, handle := range map[string]func(*dcr.Endpoint, http.ResponseWriter, *http.Request, string) error{
			http.MethodPut: (*dcr.Endpoint).Update, http.MethodDelete: (*dcr.Endpoint).Delete,
		} {
			s := &changing{record: client.Client{ID: "c1", Version: 1, RegistrationTokenHash: oauth.Secret(token).Hash()}, change: test.change}
			r := httptest.NewRequest(method, "/fdx/v6/register/c1", strings.NewReader(string(body)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			err := handle(&dcr.Endpoint{Rules: rules, Store: s, Now: time.Now}, httptest.NewRecorder(), r, "c1")
			refusal, refused := errors.AsType[*oauth.Error](err)
			if s.writes != test.want || refused != (test.want == 0) || refused && refusal.Reason != oauth.RegistrationToken {
				t.Errorf("%s, %s: %d writes, want %d; %v", method, name, s.writes, test.want, err)
			}
		}
	}
}
