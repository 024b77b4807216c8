package store_test

import (
	"testing"
	"time"

	"authserver/internal/grant"
)

// lawful holds of every grant what must be true whatever happens in which order, and whatever the models say.
func (l life) lawful(t *testing.T) {
	t.Helper()
	for id, a := range l.Grants {
		times := map[grant.Event]int{}
		for _, c := range a.History {
			times[c.Event]++
		}
		ended := 0
		if a.Grant.RevokedAt != nil {
			ended = 1
		}
		switch {
		case len(a.History) == 0 || a.History[0].Event != grant.Given || times[grant.Given] != 1:
			t.Errorf("%s was not given once, and first: %+v", id, a.History)
		case times[grant.Fetched] > 1:
			t.Errorf("%s was fetched twice: %+v", id, a.History)
		case times[grant.Revoked] != ended:
			t.Errorf("%s has %d entries of a revocation, want %d: %+v", id, times[grant.Revoked], ended, a.History)
		case ended == 1 && a.History[len(a.History)-1].Event != grant.Revoked:
			t.Errorf("%s went on after its end: %+v", id, a.History)
		case !a.Grant.UpdatedAt.Equal(a.History[len(a.History)-1].At):
			t.Errorf("%s was changed at %s, but not by its last entry: %+v", id, a.Grant.UpdatedAt, a.History)
		case a.Refresh != "" && (times[grant.Fetched] == 0 || !a.Grant.Details.Refreshes()):
			t.Errorf("%s has a refresh token, but should not: %+v", id, a)
		}
	}
}

// TestConsentOrders plays what begins, uses, shows and ends a consent, statement by statement in every order, and holds each
// end, history and all, against the pure rules. The rest of the pairs, and more threes, are played by .ci/full.
func TestConsentOrders(t *testing.T) {
	s := newLifeStage(t)
	s.play("CG-03 a code is redeemed twice", redeeming(1, right()), redeeming(1, right()))
	s.play("a code is redeemed while its grant is revoked", redeeming(1, right()), stopping(1, byOperator))
	s.play("a code is redeemed while its person is disabled", redeeming(1, right()), disabling())
	s.play("a code is redeemed while the person looks", redeeming(4, right()), listing())
	s.play("a consent for once is stopped after the end of its token", redeeming(4, right()), stopping(4, byPerson.late()))
	s.play("a new refresh token is used", redeeming(1, right()), refreshing(1))
	s.play("CG-02 a code is replayed while its grant is revoked", redeeming(5, right()), stopping(5, byClient))
	s.play("CG-02 a code is replayed while its tokens are used", redeeming(5, right()), refreshing(5), asking(5))
	s.play("both sides stop", stopping(5, byPerson), stopping(5, byClient))
	s.play("the operator stops what the client gives up", stopping(5, byOperator), givingUp(5))
	s.play("the person is disabled while the client stops", stopping(5, byClient), disabling())
	s.play("a stranger stops what the person stops", stopping(5, byStranger), stopping(5, byPerson))
	s.play("a consent is stopped while its tokens are used", stopping(5, byPerson), refreshing(5), asking(5))
	s.play("a consent is given up while its tokens are used", givingUp(5), refreshing(5), asking(5))
	s.play("a person is disabled while a token is used", disabling(), asking(5))
	s.play("a person is disabled while a token is refreshed", disabling(), refreshing(5))
	s.play("a consent is stopped while it is looked at", stopping(5, byPerson), finding(5))
	s.play("a consent is stopped while all are looked at", stopping(5, byPerson), listing())
	s.play("a person is disabled while all are looked at", disabling(), listing())
	s.play("a decision while all are looked at", deciding("alex' tab", "_alex", yes("_alex", 2)), listing())
	s.play("a consent is stopped while it is given", deciding("alex' tab", "_alex", yes("_alex", 2)), stopping(2, byPerson))
	s.play("a consent is at work twice, and stopped", using(5, time.Minute), using(5, 2*time.Minute), stopping(5, byPerson))
	s.play("a token is used while its consent is forgotten", asking(5), forgetting(s))
	s.play("all consents are forgotten while they are looked at", listing(), forgetting(s))
}
