//go:build full

package store_test

import (
	"slices"
	"testing"
	"time"
)

// TestAllOrders plays what takes minutes: .ci/full builds with the tag.
func TestAllOrders(t *testing.T) {
	s := newStage(t)
	both := spending("spend", by("c", 1, s.ring.assertion, s.ring.proof))
	s.play("sweep, sweep", sweeping(), sweeping())
	s.play("spend, update, delete, sweep", both, updating(), deleting(), sweeping())
}

// TestAllOrdersOfTabs plays all that two tabs, or one tab twice, may do about one request at once.
func TestAllOrdersOfTabs(t *testing.T) {
	s := newLifeStage(t)
	steps := func(cookie, subject, fresh string, n int) []op[life] {
		return []op[life]{
			visiting(cookie, fresh), visiting("", fresh), stepping(cookie, subject), stepping(cookie, "_sam"), stepping(cookie, ""),
			choosing(cookie, subject, "a1", "a2"), choosing(cookie, "_sam"), departing(cookie, "another state"),
			returning(cookie, "state"), deciding(cookie, subject, yes(subject, n)), deciding(cookie, subject, no),
			deciding(cookie, "", no),
		}
	}
	for i, one := range steps("alex' tab", "_alex", "new tab", 2) {
		for _, other := range steps("kim's tab", "_kim", "another tab", 3) {
			s.play(one.name+", "+other.name, one, other)
		}
		for _, again := range steps("alex' tab", "_alex", "another tab", 3)[i:] {
			s.play(one.name+", "+again.name, one, again)
		}
	}
}

// TestAllOrdersOfGrants plays the pairs of all that begins, uses, shows and ends what alex has allowed, and the threes that
// matter.
func TestAllOrdersOfGrants(t *testing.T) {
	s := newLifeStage(t)
	wrong, stranger := right(), right()
	wrong.Verifier, stranger.ClientID = "", "c2"
	decide := deciding("alex' tab", "_alex", yes("_alex", 2))
	all := []op[life]{
		decide, redeeming(1, right()), redeeming(1, wrong), redeeming(1, stranger), redeeming(4, right()), redeeming(5, right()),
		stopping(1, byOperator), stopping(4, byPerson.late()), stopping(5, byPerson), stopping(5, byClient),
		stopping(5, byStranger), givingUp(5), refreshing(5), asking(5), using(5, time.Minute), finding(5), listing(), disabling(),
		erasing(), deletingC1(), signingIn("session", "new session"), signingIn("", "another session"), usingSession(),
		settingPassword(), forgetting(s),
	}
	// Two fresh sessions of one name cannot be, and two sweepers are played with the ring.
	alone := []string{"sign in", "forget"}
	for i, one := range all {
		for _, other := range all[i:] {
			if one.name != other.name || !slices.Contains(alone, one.name) {
				s.play(one.name+", "+other.name, one, other)
			}
		}
	}
	s.play("sign in, sign in", signingIn("session", "new session"), signingIn("session", "another session"))
	s.play("redeem, redeem, revoke", redeeming(1, right()), redeeming(1, right()), stopping(1, byOperator))
	s.play("redeem, revoke, disable", redeeming(1, right()), stopping(1, byOperator), disabling())
	s.play("decide, disable, delete", decide, disabling(), deletingC1())
	s.play("erase, refresh, ask", erasing(), refreshing(5), asking(5))
	s.play("disable, refresh, ask", disabling(), refreshing(5), asking(5))
	s.play("stop, stop, disable", stopping(5, byPerson), stopping(5, byClient), disabling())
	s.play("replay, give up, ask", redeeming(5, right()), givingUp(5), asking(5))
	s.play("replay, stop, list", redeeming(5, right()), stopping(5, byPerson), listing())
	s.play("redeem, stop, list", redeeming(1, right()), stopping(1, byPerson), listing())
	s.play("redeem, stop, refresh", redeeming(1, right()), stopping(1, byPerson), refreshing(1))
	s.play("decide, stop, refresh", decide, stopping(5, byPerson), refreshing(5))
	s.play("decide, stop that, ask", decide, stopping(2, byPerson), asking(2))
	s.play("stop, refresh, ask, use", stopping(5, byPerson), refreshing(5), asking(5), using(5, time.Minute))
}
