package person

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authserver/internal/oauth"

	"github.com/alexedwards/argon2id"
)

const kimsPassword = "correct horse battery staple"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// register is a PasswordStore in memory.
type register struct {
	mu       sync.Mutex
	people   map[string]Person
	attempts map[string]Attempts
	failing  error
}

func (r *register) FindPerson(_ context.Context, username string) (Person, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, found := r.people[username]
	return p, found, r.failing
}

func (r *register) Attempt(_ context.Context, key []byte, now time.Time) (Attempts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[string(key)]
	if a.Count == 0 || !now.Before(a.Since.Add(AttemptWindow)) {
		a = Attempts{Since: now}
	}
	a.Count++
	r.attempts[string(key)] = a
	return a, r.failing
}

func (r *register) Forgive(_ context.Context, key []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.attempts, string(key))
	return r.failing
}

// desk is a login with kim, who has a password; sam, who is disabled but has the same; and alex, who comes from an
// upstream. It notes every hash that a password is compared with.
type desk struct {
	*Passwords
	register *register
	compared []string
}

func newDesk(t *testing.T, l Limits) *desk {
	t.Helper()
	r := &register{people: map[string]Person{}, attempts: map[string]Attempts{}}
	for _, name := range []string{"kim", "sam", "alex"} {
		p, err := New(name, kimsPassword, noon)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "sam":
			p.DisabledAt = &noon
		case "alex":
			p.PasswordHash = ""
		}
		r.people[name] = p
	}
	passwords, err := NewPasswords(r, l)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Passwords: passwords, register: r}
	match := passwords.match
	passwords.match = func(password, hash string) (bool, error) {
		d.compared = append(d.compared, hash)
		return match(password, hash)
	}
	return d
}

func (d *desk) try(t *testing.T, username, password string) (Authentication, error) {
	return d.Authenticate(t.Context(), username, password, "192.0.2.7", noon)
}

// refused is the refusal of err, which must have the reason.
func refused(t *testing.T, err error, want oauth.Reason) *oauth.Error {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.Reason != want {
		t.Fatalf("answered %v, want %s", err, want)
	}
	return refusal
}

func TestPasswordProves(t *testing.T) {
	d := newDesk(t, Limits{})
	for _, typed := range []string{"kim", "Kim", " kim ", "KIM "} {
		a, err := d.try(t, typed, kimsPassword)
		if err != nil {
			t.Fatalf("%q: %v", typed, err)
		}
		if a.Person.Subject != d.register.people["kim"].Subject || !a.At.Equal(noon) || a.ACR != ACRPassword || strings.Join(a.AMR, " ") != "pwd" {
			t.Errorf("%q: authenticated as %+v", typed, a)
		}
	}
}

// TestPasswordWrong: AZ-22: wrong password, nobody, disabled and without a password are told apart by nothing: not by
// the words, and not by the work.
func TestPasswordWrong(t *testing.T) {
	d := newDesk(t, Limits{Account: 100, Address: 100})
	sentences := map[string]bool{}
	for _, c := range [][2]string{{"kim", "wrong"}, {"nobody", kimsPassword}, {"sam", kimsPassword}, {"alex", kimsPassword}} {
		d.compared = nil
		_, err := d.try(t, c[0], c[1])
		sentences[refused(t, err, oauth.LoginRefused).Description] = true
		if len(d.compared) != 1 {
			t.Fatalf("%s: %d comparisons, want 1", c[0], len(d.compared))
		}
		if p, _, _, err := argon2id.DecodeHash(d.compared[0]); err != nil || *p != hashing {
			t.Errorf("%s: compared at the cost of %+v, want %+v", c[0], p, hashing)
		}
	}
	d.match = func(string, string) (bool, error) { return true, nil }
	for _, name := range []string{"nobody", "sam", "alex"} {
		_, err := d.try(t, name, kimsPassword)
		refused(t, err, oauth.LoginRefused)
	}
	if len(sentences) != 1 {
		t.Errorf("the refusals differ: %v", sentences)
	}
}

// TestPasswordShape: AZ-29: what cannot be a username or a password costs no hash.
func TestPasswordShape(t *testing.T) {
	d := newDesk(t, Limits{Account: 1, Address: 1})
	for name, c := range map[string][2]string{
		"AZ-29 password of 1 MiB":         {"kim", strings.Repeat("a", 1<<20)},
		"AZ-29 password of 1025 bytes":    {"kim", strings.Repeat("a", 1025)},
		"AZ-29 username with NUL":         {"kim\x00", kimsPassword},
		"AZ-29 homograph (Cyrillic і)":    {"kіm", kimsPassword},
		"AZ-29 homograph (Kelvin sign)":   {"\u212aim", kimsPassword},
		"username of 1 MiB":               {strings.Repeat("a", 1<<20), kimsPassword},
		"username of spaces":              {"    ", kimsPassword},
		"password with NUL":               {"kim", kimsPassword + "\x00"},
		"password that is not UTF-8":      {"kim", "\xff" + kimsPassword},
		"no password":                     {"kim", ""},
		"no username":                     {"", kimsPassword},
		"a full-width space is no space":  {"kim\u3000", kimsPassword},
		"a line break in the username":    {"kim\n", kimsPassword},
		"username of 129 letters":         {strings.Repeat("a", 129), kimsPassword},
		"username that is a form of SQL":  {"kim' OR 1=1 --", kimsPassword},
		"username that begins with a dot": {".kim", kimsPassword},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.try(t, c[0], c[1])
			refused(t, err, oauth.LoginRefused)
		})
	}
	if len(d.compared) != 0 || len(d.register.attempts) != 0 {
		t.Errorf("%d hashes and %d counts were spent", len(d.compared), len(d.register.attempts))
	}
}

// TestPasswordCost: G5: what one stranger's attempt takes of the memory, and OWASP's least for so little of it.
func TestPasswordCost(t *testing.T) {
	d := newDesk(t, Limits{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := d.try(t, "kim", "wrong")
	runtime.ReadMemStats(&after)
	refused(t, err, oauth.LoginRefused)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes", grown)
	}
	if hashing.Memory < 12<<10 || hashing.Iterations < 3 {
		t.Errorf("hashed with %+v", hashing)
	}
}

// TestPasswordWhole: AZ-29: every byte of a long password counts.
func TestPasswordWhole(t *testing.T) {
	d := newDesk(t, Limits{})
	long := strings.Repeat("a", 1024)
	p, err := New("long", long, noon)
	if err != nil {
		t.Fatal(err)
	}
	d.register.people["long"] = p
	if _, err := d.try(t, "long", long); err != nil {
		t.Errorf("its own password: %v", err)
	}
	_, err = d.try(t, "long", long[:1023]+"b")
	refused(t, err, oauth.LoginRefused)
}

// TestPasswordAttempts: AZ-22: the eleventh attempt is refused whether it would be right or wrong, for a name that exists
// and for one that does not, and costs no hash.
func TestPasswordAttempts(t *testing.T) {
	for _, name := range []string{"kim", "nobody"} {
		d := newDesk(t, Limits{Account: 10})
		d.match = func(string, string) (bool, error) { return false, nil }
		for range 10 {
			_, err := d.try(t, name, kimsPassword)
			refused(t, err, oauth.LoginRefused)
		}
		d.match = func(string, string) (bool, error) {
			t.Error("a password was hashed beyond the limit")
			return true, nil
		}
		later := noon.Add(4 * time.Minute)
		_, err := d.Authenticate(t.Context(), strings.ToUpper(name), kimsPassword, "198.51.100.9", later)
		refusal := refused(t, err, oauth.RateLimited)
		if refusal.RetryAfter != 6*time.Minute || strings.Contains(refusal.Description, name) {
			t.Errorf("%s: %q after %s, want 6m0s", name, refusal.Description, refusal.RetryAfter)
		}
		d.match = func(string, string) (bool, error) { return true, nil }
		if _, err = d.Authenticate(t.Context(), "kim", kimsPassword, "192.0.2.7", noon.Add(AttemptWindow)); err != nil {
			t.Errorf("%s: after the window: %v", name, err)
		}
	}
}

// TestPasswordAddress: AZ-22: one address that tries one password with many names, and signs in by its own in between.
func TestPasswordAddress(t *testing.T) {
	d := newDesk(t, Limits{Account: 10, Address: 20})
	d.match = func(_, hash string) (bool, error) { return hash == d.register.people["kim"].PasswordHash, nil }
	for i := range 20 {
		if i%2 == 0 {
			if _, err := d.try(t, "kim", kimsPassword); err != nil {
				t.Fatalf("attempt %d: %v", i, err)
			}
			continue
		}
		_, err := d.try(t, "name"+string(rune('a'+i)), kimsPassword)
		refused(t, err, oauth.LoginRefused)
	}
	_, err := d.try(t, "another", kimsPassword)
	refused(t, err, oauth.RateLimited)
	_, err = d.try(t, "kim", kimsPassword)
	refused(t, err, oauth.RateLimited)
	if _, err = d.Authenticate(t.Context(), "kim", kimsPassword, "198.51.100.9", noon); err != nil {
		t.Errorf("from another address: %v", err)
	}
}

// TestPasswordLockOut: AZ-22: an address beyond its limit takes no attempts away from the people that it names, nor does it
// fill the store with names.
func TestPasswordLockOut(t *testing.T) {
	d := newDesk(t, Limits{Account: 10, Address: 5})
	for i := range 30 {
		if _, err := d.try(t, "kim", "wrong"); err == nil {
			t.Fatal("a wrong password was right")
		}
		if _, err := d.try(t, "name"+strconv.Itoa(i), "wrong"); err == nil {
			t.Fatal("nobody signed in")
		}
	}
	if n := len(d.register.attempts); n != 4 { // the address, kim and two names
		t.Errorf("%d counts are kept", n)
	}
	if _, err := d.Authenticate(t.Context(), "kim", kimsPassword, "198.51.100.9", noon); err != nil {
		t.Errorf("kim is locked out: %v", err)
	}
}

// TestPasswordForgives: who signs in starts counting afresh.
func TestPasswordForgives(t *testing.T) {
	d := newDesk(t, Limits{Account: 2})
	for range 5 {
		_, err := d.try(t, "kim", "wrong")
		refused(t, err, oauth.LoginRefused)
		if _, err = d.try(t, "kim", kimsPassword); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPasswordQueue: AZ-30: of 200 people who sign in at once few are hashed at a time, and nobody waits for ever.
func TestPasswordQueue(t *testing.T) {
	d := newDesk(t, Limits{Hashing: 3})
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var busy, most, proven, turnedAway int
		d.match = func(string, string) (bool, error) {
			mu.Lock()
			busy++
			most = max(most, busy)
			mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			mu.Lock()
			busy--
			mu.Unlock()
			return true, nil
		}
		var people sync.WaitGroup
		for range 200 {
			people.Go(func() {
				_, err := d.try(t, "kim", kimsPassword)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					proven++
					return
				}
				turnedAway++
				if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Status() != 503 || refusal.RetryAfter == 0 {
					t.Errorf("turned away with %v", err)
				}
			})
		}
		people.Wait()
		if most != 3 || proven+turnedAway != 200 || proven < 3*16 || turnedAway == 0 {
			t.Errorf("%d at a time, %d proven, %d turned away", most, proven, turnedAway)
		}
	})
}

// TestPasswordStoreFails: an outage is no wrong password, and no right one.
func TestPasswordStoreFails(t *testing.T) {
	d := newDesk(t, Limits{Account: 10})
	d.register.failing = errors.New("the database is away")
	if _, err := d.try(t, "kim", kimsPassword); !errors.Is(err, d.register.failing) {
		t.Errorf("answered %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	for password, good := range map[string]bool{
		"eleven char":             false,
		"twelve chars":            true,
		"ñññññññññññ":             false, // 11 characters in 22 bytes
		"ññññññññññññ":            true,
		strings.Repeat("a", 1024): true,
		strings.Repeat("a", 1025): false,
		"twelve chars\x00":        false,
		"twelve chars\xff":        false,
		"":                        false,
	} {
		err := CheckPassword(password)
		if (err == nil) != good {
			t.Errorf("%q: %v", password, err)
		}
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the sentence holds the password: %v", err)
		}
	}
}
