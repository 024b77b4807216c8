package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// changed is what a play can change: a copy of it is independent.
type changed[W any] interface{ clone() W }

// actor makes one call on a Store of its own, on a connection of its own. Its statements wait for the scheduler.
type actor[W changed[W]] struct {
	op     op[W]
	store  *store.Store
	events chan event
	grant  chan struct{}
	pid    uint32

	state  state
	result string
	first  int // step in which its first statement was let go; -1 before
	last   int // step after which it was done
}

// op is a call and what it does to the world if nothing else happens at the same time.
type op[W changed[W]] struct {
	name string
	call func(ctx context.Context, s *store.Store) string
	// model is told what was observed, for calls that may also give up; it returns what they should have observed.
	model func(w *W, observed string) string
}

type event struct {
	pid    uint32 // of the connection of a statement that wants to run; 0: the call has returned
	result string
}

type state int

const (
	paused  state = iota // before a statement
	waiting              // its statement waits for another's lock
	done
)

// TraceQueryStart and TraceQueryEnd make actor a pgx.QueryTracer that stops before every statement but BEGIN: that takes no
// lock and no snapshot, so nobody can tell when it ran.
func (a *actor[W]) TraceQueryStart(ctx context.Context, conn *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(query.SQL, "begin") {
		return ctx
	}
	a.events <- event{pid: conn.PgConn().PID()}
	<-a.grant
	return ctx
}

func (a *actor[W]) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// scheduler plays calls statement by statement on a real PostgreSQL, in every order there is.
type scheduler[W changed[W]] struct {
	t       *testing.T
	monitor *pgx.Conn
	actors  []*actor[W]
	reset   func()
	look    func() W
}

// schedule plays every order of the statements of ops, each from the world that reset makes. Every end must be one that
// the ops could have reached one after the other, in an order in which no op comes after one that began when it was done.
func schedule[W changed[W]](t *testing.T, url string, reset func(), look func() W, ops ...op[W]) (orders int) {
	t.Helper()
	s := &scheduler[W]{t: t, monitor: connect(t, url), reset: reset, look: look}
	for _, o := range ops {
		a := &actor[W]{op: o}
		st, err := store.OpenTraced(t.Context(), url, a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(st.Close)
		a.store = st
		s.actors = append(s.actors, a)
	}
	var prefix []int
	for {
		choices := s.play(prefix)
		orders++
		for len(choices) > 0 && choices[len(choices)-1].picked == choices[len(choices)-1].options-1 {
			choices = choices[:len(choices)-1]
		}
		if len(choices) == 0 || t.Failed() {
			return orders
		}
		prefix = prefix[:0]
		for _, c := range choices {
			prefix = append(prefix, c.picked)
		}
		prefix[len(prefix)-1]++
	}
}

// choice is which of the actors that could go on went on.
type choice struct{ options, picked int }

// play runs the ops once, taking the choices of prefix first and then always the first actor that can go on.
func (s *scheduler[W]) play(prefix []int) (choices []choice) {
	s.reset()
	before := s.look()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, a := range s.actors {
		a.events, a.grant = make(chan event), make(chan struct{})
		a.first, a.last = -1, -1
		go func() {
			result := a.op.call(ctx, a.store)
			a.events <- event{result: result}
		}()
		s.take(a, <-a.events, 0)
	}
	var trace []string
	for step := 0; ; step++ {
		ready := slices.DeleteFunc(slices.Clone(s.actors), func(a *actor[W]) bool { return a.state != paused })
		if len(ready) == 0 {
			if !s.wake(step) {
				break
			}
			continue
		}
		c := choice{options: len(ready)}
		if len(choices) < len(prefix) {
			c.picked = min(prefix[len(choices)], c.options-1)
		}
		choices = append(choices, c)
		a := ready[c.picked]
		trace = append(trace, a.op.name)
		s.let(a, step)
		s.settle(step)
	}
	s.judge(before, trace)
	return choices
}

// take notes that an actor has come to its next statement or to its end.
func (s *scheduler[W]) take(a *actor[W], e event, step int) {
	if e.pid == 0 {
		a.state, a.result, a.last = done, e.result, step
		return
	}
	a.state, a.pid = paused, e.pid
}

// let lets one statement go and waits until it has run, or waits for a lock that another actor holds.
func (s *scheduler[W]) let(a *actor[W], step int) {
	if a.first < 0 {
		a.first = step
	}
	a.grant <- struct{}{}
	a.state = waiting
	s.await(a, step)
}

// await waits for an actor whose statement runs.
func (s *scheduler[W]) await(a *actor[W], step int) {
	for {
		select {
		case e := <-a.events:
			s.take(a, e, step)
			return
		case <-time.After(3 * time.Millisecond):
			if s.waitsForLock(a) {
				return
			}
		}
	}
}

// settle lets actors that another one's commit has set free come to their next statement.
func (s *scheduler[W]) settle(step int) {
	for _, a := range s.actors {
		if a.state == waiting && !s.waitsForLock(a) {
			s.await(a, step)
		}
	}
}

// wake waits for the first of the actors that are blocked although nobody can go on: a lock_timeout sets it free, or a commit
// that it has not noticed yet. It tells whether there were any.
func (s *scheduler[W]) wake(step int) bool {
	blocked := slices.DeleteFunc(slices.Clone(s.actors), func(a *actor[W]) bool { return a.state != waiting })
	for len(blocked) > 0 {
		for _, a := range blocked {
			select {
			case e := <-a.events:
				s.take(a, e, step)
				return true
			case <-time.After(time.Millisecond):
			}
		}
	}
	return false
}

func (s *scheduler[W]) waitsForLock(a *actor[W]) bool {
	var waits bool
	err := s.monitor.QueryRow(context.Background(),
		`SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, int64(a.pid)).Scan(&waits)
	if err != nil {
		s.t.Fatal(err)
	}
	return waits
}

// judge looks for an order of whole calls that explains what was observed.
func (s *scheduler[W]) judge(before W, trace []string) {
	s.t.Helper()
	after := s.look()
	var tried []string
	for _, order := range permutations(len(s.actors)) {
		if !s.possible(order) {
			continue
		}
		w, explains := before.clone(), true
		for _, i := range order {
			a := s.actors[i]
			want := a.op.model(&w, a.result)
			tried = append(tried, fmt.Sprintf("%s: got %s, want %s", a.op.name, a.result, want))
			explains = explains && want == a.result
		}
		if explains && cmp.Equal(w, after) {
			return
		}
		tried = append(tried, cmp.Diff(w, after))
	}
	s.t.Errorf("no order of whole calls explains the statements %s:\n%s", strings.Join(trace, " "), strings.Join(tried, "\n"))
}

// possible tells whether an order of calls keeps to the clock: a call that was done before another began comes first.
func (s *scheduler[W]) possible(order []int) bool {
	for i, earlier := range order {
		for _, later := range order[i+1:] {
			if s.actors[later].last < s.actors[earlier].first {
				return false
			}
		}
	}
	return true
}

func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return all
}
