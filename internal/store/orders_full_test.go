//go:build full

package store_test

import "testing"

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

// TestAllOrdersOfGrants plays the pairs of all that begins, uses and ends what alex has allowed, and the threes that matter.
func TestAllOrdersOfGrants(t *testing.T) {
	s := newLifeStage(t)
	wrong, stranger := right(), right()
	wrong.Verifier, stranger.ClientID = "", "c2"
	decide := deciding("alex' tab", "_alex", yes("_alex", 2))
	all := []op[life]{
		decide, redeeming(right()), redeeming(wrong), redeeming(stranger), revokingGrant(), disabling(), deletingC1(),
		signingIn("session", "new session"), signingIn("", "another session"), usingSession(), settingPassword(),
	}
	for i, one := range all {
		for _, other := range all[i:] {
			if one.name != "sign in" || other.name != one.name {
				s.play(one.name+", "+other.name, one, other)
			}
		}
	}
	s.play("sign in, sign in", signingIn("session", "new session"), signingIn("session", "another session"))
	s.play("redeem, redeem, revoke", redeeming(right()), redeeming(right()), revokingGrant())
	s.play("redeem, revoke, disable", redeeming(right()), revokingGrant(), disabling())
	s.play("decide, disable, delete", decide, disabling(), deletingC1())
}
