package page_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/page"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TestConnected: who has which data about what, since and until when, how far back, used when and by whom.
func TestConnected(t *testing.T) {
	d := read(t, write(t, "en", sights()["connected"]))
	says(t, d, "Connected apps", "Sharing now", "Budget Buddy https://budget-buddy.example/ Legal name: Budget Buddy, Inc.",
		"Registered as 5493001KJTIIGC8Y1R12 in the global register of legal entities (GLEIF)",
		"Data Basic account information Transactions Access while you are away", "Accounts Everyday ****4021 Savings ****7788",
		"How far back The last year before the app asks for the data.", "Since November 1, 2026", "Until November 1, 2027",
		"Last used November 21, 2026, at 22:05 UTC by Budget Buddy", "What this means exactly", "History", "Stop sharing",
		"Signed in as alex.")
	if text := main(d); strings.Contains(text, "No longer sharing") || strings.Contains(text, "not shown") {
		t.Errorf("nothing is over, and yet the page says: %s", text)
	}
	d = read(t, write(t, "en", sights()["connected-many"]))
	says(t, d, "Sharing now", "Tax Friend", "For how long Once, right after you allowed it", "Last used Not yet",
		"Budget Buddy", "International Association", "Through Data Bridge", "No longer sharing", "Budget Buddy",
		"Older ones are not shown.")
	nameless := page.Connected{Active: []page.Sharing{{Accounts: []page.Account{{ID: "acc-9"}}}}}
	says(t, read(t, write(t, "en", nameless)), "Accounts Account whose name is not known")
	says(t, read(t, write(t, "en", sights()["connected-none"])), "You are not sharing data with any app.", "You are signed in.")
}

// TestConnectedIDs: what is numbered is numbered through, over what is over too, which cannot be stopped again.
func TestConnectedIDs(t *testing.T) {
	d := read(t, write(t, "en", sights()["connected-many"]))
	var ids []string
	for _, n := range d.all(func(n *html.Node) bool { return has(n, "id") && n.DataAtom != atom.Bdi }) {
		id := attribute(n, "id")
		if strings.HasPrefix(id, "sharing-") || strings.HasPrefix(id, "stop-") || strings.HasPrefix(id, "history-") {
			ids = append(ids, id)
		}
	}
	want := strings.Fields("sharing-0 history-0 stop-0 sharing-1 history-1 stop-1 sharing-2 history-2 stop-2 " +
		"sharing-3 history-3 sharing-4 history-4 sharing-5 history-5 sharing-6 history-6 sharing-7 history-7")
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
}

// TestStopButtons: one button each, which says to a screen reader which app it stops, and since when data is shared.
func TestStopButtons(t *testing.T) {
	for l, want := range map[string]string{"en": "Stop sharing", "es": "Dejar de compartir", "fr": "Mettre fin au partage"} {
		d := read(t, write(t, l, sights()["connected-many"]))
		buttons := d.elements(atom.Button)
		if len(buttons) != 4 {
			t.Fatalf("there are %d buttons", len(buttons))
		}
		for i, app := range []string{"Tax Friend", "Budget Buddy", "International Association of"} {
			name, since := words(buttons[i]), d.byID(attribute(buttons[i], "aria-describedby"))
			if !strings.HasPrefix(name, want+" ("+app) || !strings.Contains(words(since), "2026") {
				t.Errorf("a button says %q, described by %q", name, words(since))
			}
		}
	}
}

// TestStopped: what has been done is the first thing to be heard.
func TestStopped(t *testing.T) {
	d := read(t, write(t, "en", sights()["connected-stopped"]))
	status := d.byID("stopped")
	if attribute(status, "role") != "status" || attribute(status, "tabindex") != "-1" || !has(status, "autofocus") {
		t.Error("the message does not take the focus")
	}
	if said := words(status); said != "You have stopped sharing this data with Tax Friend." {
		t.Errorf("the message says %q", said)
	}
	if read(t, write(t, "en", sights()["connected"])).byID("stopped") != nil {
		t.Error("nothing was stopped, and yet there is a message")
	}
}

// TestEndings: every end is told, in words that differ, with its day.
func TestEndings(t *testing.T) {
	want := map[page.Ending]string{
		page.Expired: "Its time was over.", page.StoppedByYou: "You stopped it.", page.StoppedByApp: "Budget Buddy stopped it.",
		page.StoppedByBank: "Example Bank stopped it.", page.AppGone: "The app is no longer registered with Example Bank.",
	}
	at := time.Date(2026, time.November, 20, 23, 59, 0, 0, time.UTC)
	for ending, sentence := range want {
		over := page.Sharing{Client: page.Party{Name: "Budget Buddy"}, Ending: ending, Until: at, History: []page.Entry{
			{At: at, What: page.Happening(ending)},
		}}
		d := read(t, write(t, "en", page.Connected{Ended: []page.Sharing{over}}))
		says(t, d, "Ended November 20, 2026 "+sentence, "November 20, 2026, at 23:59 UTC "+sentence)
		if len(d.elements(atom.Button)) != 1 {
			t.Errorf("%s: what is over can be stopped", ending)
		}
	}
	for _, l := range page.Languages() {
		said := map[string]bool{}
		for _, ending := range endings {
			over := page.Sharing{Client: page.Party{Name: "A"}, Ending: ending, Until: at}
			text := main(read(t, write(t, l, page.Connected{Ended: []page.Sharing{over}})))
			if said[text] {
				t.Errorf("%s tells %s as another end: %s", l, ending, text)
			}
			said[text] = true
		}
	}
}

// TestHistory: what happened, when by the clock of UTC, by whom, and what to quote about it.
func TestHistory(t *testing.T) {
	east := time.FixedZone("", 9*3600)
	sharing := page.Sharing{Client: page.Party{Name: "Budget Buddy"}, History: []page.Entry{
		{At: time.Date(2026, time.November, 1, 8, 5, 59, 0, east), What: page.Given, Reference: "reference-0001"},
		{At: time.Date(2026, time.November, 1, 18, 0, 0, 0, east), What: page.Fetched},
	}}
	want := map[string][]string{
		"en": {
			"October 31, 2026, at 23:05 UTC You allowed it. Reference: reference-0001",
			"November 1, 2026, at 09:00 UTC Budget Buddy received access.",
		},
		"es": {
			"31 de octubre de 2026, a las 23:05 UTC Usted dio su permiso. Referencia: reference-0001",
			"1 de noviembre de 2026, a las 09:00 UTC Budget Buddy obtuvo el acceso.",
		},
		"fr": {
			"31 octobre 2026 à 23:05 UTC Vous avez donné votre autorisation. Référence : reference-0001",
			"1er novembre 2026 à 09:00 UTC Budget Buddy a obtenu l’accès.",
		},
	}
	for l, entries := range want {
		d := read(t, write(t, l, page.Connected{Active: []page.Sharing{sharing}}))
		var said []string
		for _, li := range d.elements(atom.Li) {
			said = append(said, words(li))
		}
		if diff := cmp.Diff(entries, said); diff != "" {
			t.Errorf("%s: %s", l, diff)
		}
		times := d.elements(atom.Time)
		if !slices.ContainsFunc(times, func(n *html.Node) bool { return attribute(n, "datetime") == "2026-10-31T23:05Z" }) {
			t.Errorf("%s: no machine can read the time", l)
		}
	}
}
