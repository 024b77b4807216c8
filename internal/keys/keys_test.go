package keys_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/keys"

	oracle "github.com/go-jose/go-jose/v4"
	gocmp "github.com/google/go-cmp/cmp"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	all  = []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA}
)

// memory keeps sealed keys as the database would, the latest to sign first.
type memory struct {
	mu      sync.Mutex
	rows    []keys.Sealed
	changes int // calls of ChangeSigningKeys that succeeded
	failing error
	before  func() // runs once, before the next ChangeSigningKeys
	after   func() // runs at the end of each ChangeSigningKeys that succeeded
}

func (m *memory) SigningKeys(context.Context) ([]keys.Sealed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rows), m.failing
}

func (m *memory) ChangeSigningKeys(_ context.Context, change func([]keys.Sealed) (keys.Changes, error)) error {
	if before := m.before; before != nil {
		m.before = nil
		before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return m.failing
	}
	c, err := change(slices.Clone(m.rows))
	if err != nil {
		return err
	}
	for _, k := range c.Put {
		m.rows = append(slices.DeleteFunc(m.rows, func(row keys.Sealed) bool { return row.KID == k.KID }), k)
	}
	m.rows = slices.DeleteFunc(m.rows, func(row keys.Sealed) bool { return slices.Contains(c.Delete, row.KID) })
	slices.SortFunc(m.rows, func(a, b keys.Sealed) int {
		return cmp.Or(b.ActivatesAt.Compare(a.ActivatesAt), strings.Compare(a.KID, b.KID))
	})
	m.changes++
	if m.after != nil {
		m.after()
	}
	return nil
}

func (m *memory) row(t *testing.T, alg jose.Alg) *keys.Sealed {
	t.Helper()
	i := slices.IndexFunc(m.rows, func(s keys.Sealed) bool { return s.Alg == alg })
	if i < 0 {
		t.Fatalf("no key for %s", alg)
	}
	return &m.rows[i]
}

func atNoon() time.Time { return noon }

func open(t *testing.T, m *memory, k keys.EncryptionKeys, algs ...jose.Alg) *keys.Ring {
	t.Helper()
	return openAt(t, m, k, atNoon, algs...)
}

func openAt(t *testing.T, m *memory, k keys.EncryptionKeys, now func() time.Time, algs ...jose.Alg) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(t.Context(), m, k, now, algs...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// kids are the names under which keys are published.
func kids(t *testing.T, set *keys.Ring) []string {
	t.Helper()
	names := []string{}
	for _, k := range published(t, set).Keys {
		names = append(names, k.KeyID)
	}
	return names
}

func published(t *testing.T, set *keys.Ring) oracle.JSONWebKeySet {
	t.Helper()
	var jwks oracle.JSONWebKeySet
	if err := json.Unmarshal(set.JWKS(), &jwks); err != nil {
		t.Fatal(err)
	}
	return jwks
}

// TestOpenMakesEachKeyOnce: what is missing is made, and what is there is left alone.
func TestOpenMakesEachKeyOnce(t *testing.T) {
	m := &memory{}
	if got := kids(t, open(t, m, sealing(1))); len(got) != 0 || m.changes != 0 {
		t.Errorf("nothing was wanted, and %d keys were made: %q", m.changes, got)
	}
	first := kids(t, open(t, m, sealing(1), jose.ES256))
	if len(first) != 1 || m.changes != 1 || !m.rows[0].CreatedAt.Equal(noon) {
		t.Fatalf("keys %q after %d changes, made at %v", first, m.changes, m.rows[0].CreatedAt)
	}
	if got := kids(t, open(t, m, sealing(1), jose.ES256)); !slices.Equal(got, first) || m.changes != 1 {
		t.Errorf("keys %q after %d changes, want %q after 1", got, m.changes, first)
	}
	more := kids(t, open(t, m, sealing(1), all...))
	if len(more) != 3 || m.changes != 2 || !slices.Contains(more, first[0]) {
		t.Errorf("keys %q after %d changes, want three with %q", more, m.changes, first)
	}
	if got := kids(t, open(t, m, sealing(1))); !slices.Equal(got, more) {
		t.Errorf("published %q, want all that are stored: %q", got, more)
	}
}

// TestOpenBesideAnotherReplica: when another replica's key was stored first, that one is used.
func TestOpenBesideAnotherReplica(t *testing.T) {
	m := &memory{}
	var theirs *keys.Ring
	m.before = func() { theirs = open(t, m, sealing(1), jose.ES256) }
	ours := open(t, m, sealing(1), jose.ES256)
	if diff := gocmp.Diff(string(theirs.JWKS()), string(ours.JWKS())); diff != "" {
		t.Errorf("two replicas publish different keys:\n%s", diff)
	}
	verify(t, theirs, sign(t, ours, jose.ES256))
}

// TestOpenFails: the store's error is passed on as it is.
func TestOpenFails(t *testing.T) {
	m := &memory{failing: errors.New("no database")}
	if _, err := keys.Open(t.Context(), m, sealing(1), atNoon, jose.ES256); !errors.Is(err, m.failing) {
		t.Errorf("error %v", err)
	}
	if _, err := keys.Open(t.Context(), &memory{}, sealing(1), atNoon, "RS256"); err == nil {
		t.Error("a key was made for an algorithm that there is not")
	}
}

// TestSign: a token is verified by the published set, and by nothing else.
func TestSign(t *testing.T) {
	set, other := open(t, &memory{}, sealing(1), all...), open(t, &memory{}, sealing(1), all...)
	for _, alg := range all {
		compact := sign(t, set, alg)
		verify(t, set, compact)
		parsed, err := oracle.ParseSignedCompact(compact, []oracle.SignatureAlgorithm{oracle.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(published(t, set)); err != nil {
			t.Errorf("%s by the published set: %v", alg, err)
		}
		if _, err := parsed.Verify(published(t, other)); err == nil {
			t.Errorf("%s is verified by another server's set", alg)
		}
		if other.Key(parsed.Signatures[0].Header.KeyID) != nil {
			t.Errorf("another server knows our %s", alg)
		}
	}
	if _, err := open(t, &memory{}, sealing(1), jose.ES256).Sign(jose.PS256, "JWT", struct{}{}); err == nil {
		t.Error("signed without a key of the algorithm")
	}
	if set.Key("") != nil || set.Key("unknown") != nil {
		t.Error("an unknown kid has a key")
	}
}

func sign(t *testing.T, set *keys.Ring, alg jose.Alg) string {
	t.Helper()
	compact, err := set.Sign(alg, "JWT", map[string]string{"iss": "us"})
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// verify wants a token of the set's own key, found by its kid.
func verify(t *testing.T, set *keys.Ring, compact string) {
	t.Helper()
	parsed, err := jose.Door{MaxBytes: 4 << 10, Types: []string{"JWT"}}.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := parsed.Verify(set.Key(parsed.Header().Kid))
	if iss, _, _ := claims.String("iss"); err != nil || iss != "us" {
		t.Errorf("iss %q, error %v", iss, err)
	}
}

// TestJWKS (KY-02): the published set holds public members only, each key with kid, use and alg, and no kid twice.
func TestJWKS(t *testing.T) {
	set := open(t, &memory{}, sealing(1), all...)
	var document map[string][]map[string]any
	if err := json.Unmarshal(set.JWKS(), &document); err != nil {
		t.Fatal(err)
	}
	members := map[string][]string{
		"RSA": {"alg", "e", "kid", "kty", "n", "use"},
		"EC":  {"alg", "crv", "kid", "kty", "use", "x", "y"},
		"OKP": {"alg", "crv", "kid", "kty", "use", "x"},
	}
	algs, names := []string{}, map[any]bool{}
	for _, key := range document["keys"] {
		got := []string{}
		for name := range key {
			got = append(got, name)
		}
		slices.Sort(got)
		if diff := gocmp.Diff(members[key["kty"].(string)], got); diff != "" {
			t.Errorf("members of the %s key (-want +got):\n%s", key["kty"], diff)
		}
		if key["use"] != "sig" || names[key["kid"]] {
			t.Errorf("use %v, kid %v again: %v", key["use"], key["kid"], names[key["kid"]])
		}
		names[key["kid"]] = true
		algs = append(algs, key["alg"].(string))
	}
	slices.Sort(algs)
	if diff := gocmp.Diff([]string{"ES256", "EdDSA", "PS256"}, algs); diff != "" || len(document) != 1 {
		t.Errorf("%d members in the document; algorithms (-want +got):\n%s", len(document), diff)
	}
	for _, key := range published(t, set).Keys {
		if !key.IsPublic() || set.Key(key.KeyID) == nil || set.Key(key.KeyID).Thumbprint() != key.KeyID {
			t.Errorf("key %s: public %v, known %v", key.KeyID, key.IsPublic(), set.Key(key.KeyID))
		}
	}
	if empty := string(open(t, &memory{}, sealing(1)).JWKS()); empty != `{"keys":[]}` {
		t.Errorf("the set without keys is %s", empty)
	}
}
