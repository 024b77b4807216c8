package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keyboard is a terminal at which a sub-command runs, and the person before it.
type keyboard struct {
	t        *testing.T
	terminal *os.File      // as the sub-command sees it
	hands    *os.File      // as the person does
	said     *lockedBuffer // what the sub-command says
	screen   *lockedBuffer // what the terminal shows of what is typed
}

func newKeyboard(t *testing.T) *keyboard {
	t.Helper()
	k := &keyboard{t: t, said: &lockedBuffer{}, screen: &lockedBuffer{}}
	var err error
	if k.hands, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.hands.Close() })
	if err := unix.IoctlSetPointerInt(int(k.hands.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(k.hands.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if k.terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.terminal.Close() })
	go func() { _, _ = io.Copy(k.screen, k.hands) }()
	return k
}

// echoes tells whether the terminal shows what is typed.
func (k *keyboard) echoes() bool {
	k.t.Helper()
	state, err := unix.IoctlGetTermios(int(k.terminal.Fd()), unix.TCGETS)
	if err != nil {
		k.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// asked waits until the sub-command asks this, and hides the answer or shows it.
func (k *keyboard) asked(question string, echoes bool) {
	k.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.HasSuffix(k.said.String(), question) || k.echoes() != echoes; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("it was not asked %q, or not echoed: %v: %s", question, echoes, k.said)
		}
	}
}

// TestUserAtATerminal: the password is asked for twice and never shown, and afterwards the terminal is as it was.
func TestUserAtATerminal(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	for _, test := range []struct {
		name     string
		typed    []string
		code     int
		sentence string
	}{
		{"the same twice", []string{goodPassword, goodPassword}, 0, "added kim"},
		{"two passwords", []string{goodPassword, "correct horse buttery"}, exitUsage, "the two passwords are not the same"},
		{"too short", []string{"elevenchars"}, exitUsage, "at least 12 characters"},
		{"an interrupt", nil, exitFailed, "interrupted; nothing is changed"},
		{"an interrupt later", []string{goodPassword}, exitFailed, "interrupted; nothing is changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKeyboard(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			username := map[bool]string{true: "kim", false: "sam"}[test.code == 0]
			code := make(chan int)
			go func() {
				code <- run(ctx, []string{"user", "add", username}, d.env, &streams{Stdin: k.terminal, Stdout: k.said, Stderr: k.said})
			}()
			questions := []string{"password: ", "once more: "}
			for i, line := range test.typed {
				k.asked(questions[i], false)
				if _, err := k.hands.WriteString(line + "\n"); err != nil {
					t.Fatal(err)
				}
			}
			if test.code == exitFailed {
				k.asked(questions[len(test.typed)], false)
				interrupt()
			}
			if got := <-code; got != test.code || !strings.Contains(k.said.String(), test.sentence) {
				t.Errorf("code %d, want %d and %q: %s", got, test.code, test.sentence, k.said)
			}
			if !k.echoes() {
				t.Error("the terminal shows no more what is typed")
			}
			if shown := k.screen.String() + k.said.String(); strings.Contains(shown, "horse") {
				t.Errorf("the password is shown: %q", shown)
			}
		})
	}
	d.passwordIs("kim", goodPassword)
	if _, found, err := d.store.FindPerson(t.Context(), "sam"); err != nil || found {
		t.Errorf("sam was added: %v %v", found, err)
	}
}

// TestUserEraseAtATerminal: whoever sits at a terminal is asked, and types once more who is meant.
func TestUserEraseAtATerminal(t *testing.T) {
	d := newDesk(t, "serve", "https://as.example")
	d.user(goodPassword, "add", "kim", "--name", "Kim")
	for _, test := range []struct {
		name, typed string
		code        int
		sentence    string
	}{
		{"somebody else", "sam\n", exitUsage, "that is not the same; nothing is changed"},
		{"nothing", "\n", exitUsage, "that is not the same; nothing is changed"},
		{"an interrupt", "", exitFailed, "interrupted; nothing is changed"},
		{"the same", "kim\n", 0, "erased kim"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKeyboard(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			code := make(chan int)
			go func() {
				code <- run(ctx, []string{"user", "erase", "kim"}, d.env, &streams{Stdin: k.terminal, Stdout: k.said, Stderr: k.said})
			}()
			k.asked("kim (Kim) will be forgotten, with every session and consent and its history, for good.\nthe same once more: ", true)
			if test.typed == "" {
				interrupt()
			} else if _, err := k.hands.WriteString(test.typed); err != nil {
				t.Fatal(err)
			}
			if got := <-code; got != test.code || !strings.Contains(k.said.String(), test.sentence) {
				t.Errorf("code %d, want %d and %q: %s", got, test.code, test.sentence, k.said)
			}
			if _, found, err := d.store.FindPerson(t.Context(), "kim"); err != nil || found == (test.code == 0) {
				t.Errorf("kim is there: %v, %v", found, err)
			}
		})
	}
}
