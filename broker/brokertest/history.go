package brokertest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

// numbered stores n records, in groups, and returns their positions.
func numbered(t testing.TB, b broker.Broker, from, n int) (positions []broker.Position) {
	t.Helper()
	for n > 0 {
		var group []broker.Record
		for range min(n, 100) {
			group = append(group, event(strconv.Itoa(from)))
			from++
		}
		n -= len(group)
		positions = append(positions, store(t, b, group...)...)
	}
	return positions
}

// same compares entries with the numbers and positions they are to have.
func same(r Reporter, who string, got []broker.Entry, from int, positions []broker.Position) {
	r.Helper()
	if len(got) != len(positions) {
		r.Errorf("%s: %d entries, want %d", who, len(got), len(positions))
		return
	}
	for i, e := range got {
		if string(e.Record.Data) != strconv.Itoa(from+i) || e.Position != positions[i] {
			r.Errorf("%s: entry %d is %q at %s, want %d at %s", who, i, e.Record.Data, e.Position, from+i, positions[i])
			return
		}
	}
}

// tailOfEmpty follows an empty log, and goes on while entries are appended.
func tailOfEmpty(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 100)
	if len(s.all()) != 0 {
		r.Errorf("a new log has %d entries", len(s.all()))
	}
	stands(t, r, n, s.begin, broker.Exact)
	positions := numbered(t, n, 0, 10)
	if !Until(func() bool { return s.count() >= 10 }) {
		r.Errorf("%d of 10 entries have come", s.count())
	}
	rising(r, s.begin, s.all())
	same(r, "tail", s.all(), 0, positions)
	if h.Keeps {
		stands(t, r, n, s.begin, broker.Exact)
	}
}

// tailOfHistory opens a node on a log that has entries: it begins with the newest of them.
func tailOfHistory(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	origin := started(t, r, n, 0)
	positions := numbered(t, n, 0, 1500)
	origin.stop()
	for _, last := range []int{0, 5, 1000, 5000} {
		n = h.another(t, n)
		s := started(t, r, n, last)
		size := len(positions)
		want := min(last, size)
		if s.history != want {
			r.Errorf("last %d: %d entries came before State(nil), want %d", last, s.history, want)
		}
		if want < size && s.begin != positions[size-want-1] {
			r.Errorf("last %d: begins at %s, want %s", last, s.begin, positions[size-want-1])
		}
		stands(t, r, n, s.begin, broker.Exact)
		same(r, fmt.Sprintf("last %d", last), s.all(), size-want, positions[size-want:])
		rising(r, s.begin, s.all())
		positions = append(positions, numbered(t, n, len(positions), 1)...) // the next entry follows directly
		if !Until(func() bool { return len(s.all()) > want }) {
			r.Errorf("last %d: what was appended next does not come", last)
		}
		same(r, fmt.Sprintf("last %d, and one", last), s.all(), size-want, positions[size-want:])
		s.stop()
	}
}

// blockedSink takes no entries for a while. None may be lost, but publishers may be refused.
func blockedSink(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	s.hold()
	positions := numbered(t, n, 0, 5000)
	s.release()
	if !Until(func() bool { return s.count() >= len(positions) }) {
		r.Errorf("%d of %d entries have come", s.count(), len(positions))
	}
	same(r, "tail", s.all(), 0, positions)
}

// readPages reads parts of a log.
func readPages(t testing.TB, r Reporter, h Harness) {
	const size = 250
	nodes := h.nodes(t, 2)
	s := started(t, r, nodes[0], 0)
	positions := numbered(t, nodes[0], 0, size)
	end := positions[size-1]
	for _, b := range nodes {
		for _, limit := range []int{1, 7, 249, 250, 1000} {
			same(r, fmt.Sprintf("limit %d", limit), readAll(t, r, b, s.begin, end, limit), 0, positions)
		}
		same(r, "a part", readAll(t, r, b, positions[99], positions[149], 20), 100, positions[100:150])
		same(r, "one", readAll(t, r, b, positions[99], positions[100], 20), 100, positions[100:101])
		for _, p := range []broker.Position{s.begin, positions[0], positions[100], end} {
			if got, err := b.Read(t.Context(), p, p, 10); err != nil || len(got) != 0 {
				r.Errorf("between %s and itself: %d entries, %v", p, len(got), err)
			}
		}
		foreign := end
		foreign.Epoch++
		for _, span := range [][2]broker.Position{{foreign, end}, {positions[0], foreign}} {
			if got, err := b.Read(t.Context(), span[0], span[1], 10); !errors.Is(err, broker.ErrUnknown) {
				r.Errorf("from %s to %s: %d entries, %v, want %v", span[0], span[1], len(got), err, broker.ErrUnknown)
			}
		}
	}
}

// readNothing reads at the end of a log. A log that keeps nothing refuses to read anything else.
func readNothing(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	positions := numbered(t, n, 0, 3)
	if !Until(func() bool { return s.count() >= 3 }) {
		r.Errorf("%d of 3 entries have come", s.count())
	}
	if got, err := n.Read(t.Context(), positions[2], positions[2], 10); err != nil || len(got) != 0 {
		r.Errorf("after the end: %d entries, %v", len(got), err)
	}
	got, err := n.Read(t.Context(), positions[0], positions[2], 10)
	switch {
	case h.Keeps && (err != nil || len(got) != 2):
		r.Errorf("got %d entries, %v", len(got), err)
	case !h.Keeps && !errors.Is(err, broker.ErrTrimmed):
		r.Errorf("got %d entries, %v, want %v", len(got), err, broker.ErrTrimmed)
	}
}

// stands checks that a position stands to the log in one of the ways wanted.
func stands(t testing.TB, r Reporter, b broker.Broker, p broker.Position, want ...broker.Standing) {
	t.Helper()
	r.Helper()
	if got, err := b.Resolve(t.Context(), p); err != nil || !slices.Contains(want, got) {
		r.Errorf("%s: stands %d, %v, want one of %v", p, got, err, want)
	}
}

// resolve asks for positions of every standing that needs no fault.
func resolve(t testing.TB, r Reporter, h Harness) {
	nodes := h.nodes(t, 2)
	s := started(t, r, nodes[0], 0)
	positions := numbered(t, nodes[0], 0, 20)
	if !Until(func() bool { return s.count() >= 20 }) {
		r.Errorf("%d of 20 entries have come", s.count())
	}
	end := positions[19]
	for _, n := range nodes {
		stands(t, r, n, end, broker.Exact)
		for _, p := range append([]broker.Position{s.begin}, positions[:19]...) {
			if h.Keeps {
				stands(t, r, n, p, broker.Exact)
			} else {
				stands(t, r, n, p, broker.Trimmed)
			}
		}
		for _, change := range []func(p *broker.Position){
			func(p *broker.Position) { p.Epoch++ },
			func(p *broker.Position) { p.Epoch = broker.NewEpoch() },
			func(p *broker.Position) { p.Check ^= 1 },
			func(p *broker.Position) { *p = broker.Position{} },
		} {
			p := positions[10]
			change(&p)
			stands(t, r, n, p, broker.Unknown)
		}
		ahead := end
		ahead.Minor += 1000
		stands(t, r, n, ahead, broker.Ahead, broker.Unknown)
		if ahead = end; end.Major > 0 {
			ahead.Major += 3_600_000
			stands(t, r, n, ahead, broker.Ahead, broker.Unknown)
		}
	}
}

// trimmed reads a log that was trimmed by its retention.
func trimmed(t testing.TB, r Reporter, h Harness) {
	const size = 3000
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	positions := numbered(t, n, 0, size)
	end := positions[size-1]
	if !Until(func() bool { return s.count() >= size }) {
		r.Errorf("%d of %d entries have come", s.count(), size)
	}
	h.Trim(t, 500)
	gone := 0 // the first whose successors are all there
	for gone < size-1 {
		standing, err := n.Resolve(t.Context(), positions[gone])
		if err != nil {
			t.Fatal(err)
		}
		if standing == broker.Exact {
			break
		}
		if standing != broker.Trimmed {
			r.Errorf("entry %d: stands %d, want trimmed", gone, standing)
			return
		}
		gone++
	}
	if gone == 0 || gone > size-100 {
		t.Fatalf("%d of %d entries were trimmed, to about 500", gone, size)
	}
	stands(t, r, n, s.begin, broker.Trimmed)
	for i := gone; i < size; i++ {
		stands(t, r, n, positions[i], broker.Exact)
	}
	same(r, "what is left", readAll(t, r, n, positions[gone], end, 100), gone+1, positions[gone+1:])
	for _, p := range []broker.Position{s.begin, positions[0], positions[gone-1]} {
		if got, err := n.Read(t.Context(), p, end, 10); !errors.Is(err, broker.ErrTrimmed) {
			r.Errorf("after %s: %d entries, %v, want %v", p, len(got), err, broker.ErrTrimmed)
		}
	}
	same(r, "a tail that was there", s.all(), 0, positions)
	s.stop()
	n = h.another(t, n)
	s = started(t, r, n, size)
	got := s.all()
	if s.begin != positions[gone] {
		stands(t, r, n, s.begin, broker.Exact)
	}
	if len(got) < size-gone-1 {
		r.Errorf("a new tail has %d entries, want %d", len(got), size-gone-1)
		return
	}
	same(r, "a new tail", got[len(got)-(size-gone-1):], gone+1, positions[gone+1:])
}

// trimmedEmpty trims all entries while the log is quiet. No reader has missed anything.
func trimmedEmpty(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	positions := numbered(t, n, 0, 50)
	end := positions[49]
	if !Until(func() bool { return s.count() >= 50 }) {
		r.Errorf("%d of 50 entries have come", s.count())
	}
	h.Trim(t, 0)
	stands(t, r, n, end, broker.Exact)
	if got, err := n.Read(t.Context(), end, end, 10); err != nil || len(got) != 0 {
		r.Errorf("after the end: %d entries, %v", len(got), err)
	}
	later := h.another(t, n)
	stands(t, r, later, end, broker.Exact)
	ls := started(t, r, later, 10)
	more := numbered(t, later, 50, 5)
	for who, s := range map[string]*tail{"the tail that was there": s, "a new tail": ls} {
		if who == "the tail that was there" && !h.Shared {
			continue // it has ended
		}
		if !Until(func() bool { all := s.all(); return len(all) > 0 && all[len(all)-1].Position == more[4] }) {
			r.Errorf("%s: what was appended after the trimming does not come", who)
		}
		for _, e := range s.all() {
			if e.Record.Kind == broker.Hole {
				r.Errorf("%s: a false hole at %s", who, e.Position)
			}
		}
	}
	stands(t, r, later, end, broker.Exact)
	same(r, "Read", readAll(t, r, later, end, more[4], 10), 50, more)
}
