package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/oauth"
	"authserver/internal/replay"
)

func TestRecordsAreKept(t *testing.T) {
	b := newBench(t, Vetting{}, inline("c1", ecSigner("")))
	for range 3 {
		c, found, err := b.Records.Find(t.Context(), "c1")
		if c.ID != "c1" || !found || err != nil {
			t.Fatal(c, found, err)
		}
	}
	if b.registry.looks != 1 {
		t.Errorf("looked up %d times", b.registry.looks)
	}
	for range 2 {
		if _, found, err := b.Records.Find(t.Context(), "c2"); found || err != nil {
			t.Fatal(found, err)
		}
	}
	if b.registry.looks != 3 {
		t.Error("a client that does not exist is remembered: it could not register")
	}
	b.registry.down = errors.New("down")
	if _, _, err := b.Records.Find(t.Context(), "c2"); !errors.Is(err, b.registry.down) {
		t.Error(err)
	}
	b.registry.down = nil
	b.registry.put(inline("c2"))
	if _, found, err := b.Records.Find(t.Context(), "c2"); !found || err != nil {
		t.Error("a failure is remembered")
	}
}

func TestSpend(t *testing.T) {
	b := newBench(t, Vetting{}, inline("c1", ecSigner("")))
	caller := Caller{Client: Client{ID: "c1", Version: 1}, Uses: []replay.Use{replay.NewUse(replay.Assertion, "c1", "j1", t0)}}
	proof := replay.NewUse(replay.Proof, "jkt", "j2", t0)
	if err := b.Records.Spend(t.Context(), caller, proof); err != nil {
		t.Fatal(err)
	}
	want := []replay.Spend{{ClientID: "c1", ClientVersion: 1, Uses: []replay.Use{caller.Uses[0], proof}}}
	if diff := cmp.Diff(want, b.registry.spends); diff != "" {
		t.Error(diff)
	}
	if err := b.Records.Spend(t.Context(), caller); reason(t, err) != oauth.AssertionReplayed {
		t.Error(err)
	}
	next := Caller{Client: caller.Client, Uses: []replay.Use{replay.NewUse(replay.Assertion, "c1", "j3", t0)}}
	if err := b.Records.Spend(t.Context(), next, proof); reason(t, err) != oauth.ProofReplayed {
		t.Error(err)
	}
	b.registry.down = errors.New("no commit")
	if err := b.Records.Spend(t.Context(), next); !errors.Is(err, b.registry.down) {
		t.Errorf("ST-07 the replay store fails open: %v", err)
	}
}

// steps runs authentication and Spend inside Fresh, as an endpoint does, and counts the runs.
func (b *bench) steps(by signer, edits ...edit) (caller Caller, runs int, err error) {
	form := bodyOf(assertionBy(by, "c1", t0, edits...))
	err = Fresh(func() error {
		runs++
		if caller, err = b.request(form); err != nil {
			return err
		}
		return b.Records.Spend(b.t.Context(), caller)
	})
	return caller, runs, err
}

func TestFresh(t *testing.T) {
	key, next := ecSigner(""), ecSigner("")
	t.Run("nothing changed", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		caller, runs, err := b.steps(key)
		if err != nil || runs != 1 || caller.Client.Version != 1 {
			t.Error(caller, runs, err)
		}
	})
	t.Run("stale once: the second run has the record as it is now", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		_, _, _ = b.steps(key)
		changed := inline("c1", key)
		changed.Metadata.Scope = "less"
		b.registry.put(changed)
		caller, runs, err := b.steps(key)
		if err != nil || runs != 2 || caller.Client.Version != 2 || caller.Client.Metadata.Scope != "less" {
			t.Error(caller, runs, err)
		}
	})
	t.Run("the key was withdrawn", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		_, _, _ = b.steps(key)
		b.registry.put(inline("c1", next))
		if _, runs, err := b.steps(key); reason(t, err) != oauth.ClientNotProven || runs != 2 {
			t.Error(runs, err)
		}
		if _, runs, err := b.steps(next); err != nil || runs != 1 {
			t.Error(runs, err)
		}
	})
	t.Run("the key is new: the refusal is doubted", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		_, _, _ = b.steps(key)
		b.registry.put(inline("c1", next))
		if caller, runs, err := b.steps(next); err != nil || runs != 2 || caller.Client.Version != 2 {
			t.Error(caller, runs, err)
		}
	})
	t.Run("the client is gone", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		_, _, _ = b.steps(key)
		delete(b.registry.clients, "c1")
		if _, runs, err := b.steps(key); reason(t, err) != oauth.ClientNotProven || runs != 2 {
			t.Error(runs, err)
		}
	})
	t.Run("refused as before: nothing runs twice", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		if _, runs, err := b.steps(next); reason(t, err) != oauth.ClientNotProven || runs != 1 {
			t.Error(runs, err)
		}
	})
	t.Run("not even found while the store is down", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		b.registry.down = errors.New("down")
		if _, runs, err := b.steps(key); !errors.Is(err, b.registry.down) || runs != 1 {
			t.Error(runs, err)
		}
	})
	t.Run("refused while the store is down", func(t *testing.T) {
		b := newBench(t, Vetting{}, inline("c1", key))
		_, _, _ = b.steps(key)
		b.registry.down = errors.New("down")
		if _, runs, err := b.steps(next); !errors.Is(err, b.registry.down) || runs != 1 {
			t.Error(runs, err)
		}
	})
}

// restless is a store in which the record changes between every reading and every Spend.
type restless struct{}

func (restless) Spend(context.Context, replay.Spend) (replay.Outcome, error) {
	return replay.Outcome{Stale: true}, nil
}

// A second change in a row is not waited for: the client comes back later.
func TestStaleTwice(t *testing.T) {
	key := ecSigner("")
	b := newBench(t, Vetting{}, inline("c1", key))
	b.Records = NewRecords(b.registry, restless{})
	_, runs, err := b.steps(key)
	if !errors.As(err, &Stale{}) || runs != 2 {
		t.Fatal(runs, err)
	}
	w := httptest.NewRecorder()
	(oauth.Pages{}).Write(w, nil, err)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestFreshPassesOtherErrorsOn(t *testing.T) {
	failure := errors.New("failure")
	runs := 0
	if err := Fresh(func() error { runs++; return failure }); !errors.Is(err, failure) || runs != 1 {
		t.Error(runs, err)
	}
}

func TestClient(t *testing.T) {
	c := Client{Metadata: Metadata{GrantTypes: []string{"client_credentials"}, Scope: "a b"}}
	if !c.May("client_credentials") || c.May("authorization_code") || c.May("") {
		t.Error("May does not follow grant_types")
	}
	if diff := cmp.Diff(oauth.Scope{"a", "b"}, c.Scope()); diff != "" {
		t.Error(diff)
	}
}

// What is stored of a client's metadata reads back as it was, the members in other languages too.
func TestMetadataIsStored(t *testing.T) {
	for name, m := range map[string]Metadata{
		"nothing": {},
		"some":    {ClientName: "a <b> & c", ResponseTypes: []string{"code"}, JWKS: json.RawMessage(`{"keys":[]}`), DefaultMaxAge: new(int)},
		"languages": {ClientName: "Bank", ResponseTypes: []string{}, Localized: map[string]string{
			"client_name#fr": "Banque", "tos_uri#de": "https://c.example/?a=<b>&c"}},
	} {
		t.Run(name, func(t *testing.T) {
			stored, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var got Metadata
			if err := json.Unmarshal(stored, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("%s: %s", stored, diff)
			}
		})
	}
	for _, broken := range []string{`[]`, `{"client_name":1}`, `{"client_name#fr":1}`} {
		if err := json.Unmarshal([]byte(broken), new(Metadata)); err == nil {
			t.Errorf("%s was read", broken)
		}
	}
}
