package brokertest

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// A program of a later version writes fields that this one does not know. By the tag it says whether the record can
// be understood without them.
const (
	ignorable = 1000
	critical  = 1001
)

// withField is a record's stored form with one more field.
func withField(r broker.Record, tag uint64) []byte {
	r.Time = time.Now()
	b := binary.AppendUvarint(r.Encode(nil), tag)
	return append(binary.AppendUvarint(b, 3), "new"...)
}

// tooNew are stored forms that only a later version can read.
func tooNew() (all [][]byte) {
	kind, target := event("kind"), event("target")
	kind.Kind = 250
	target.Targets = append(target.Targets, broker.Target{Kind: 250, Name: "new"})
	format := withField(event("format"), ignorable)
	format[0]++
	return [][]byte{withField(event("field"), critical), format, withField(kind, ignorable), withField(target, ignorable)}
}

// newerRecords has a node read what a later version has written: as far as it can, and otherwise it knows what it
// cannot read.
func newerRecords(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	live := h.Engine != nil
	put := func(stored []byte) {
		t.Helper()
		if !live {
			if err := n.Close(); err != nil {
				r.Errorf("closing: %v", err)
			}
		}
		if h.Put(t, stored); !live {
			n = h.open(t, nil)
		}
	}
	want := []string{"a", "b", "c"}
	store(t, n, event("a"))
	put(withField(event("b"), ignorable))
	known := store(t, n, event("c"))[0]
	for _, stored := range tooNew() {
		put(stored)
		want = append(want, "-")
	}
	want = append(want, "d")
	end := store(t, n, event("d"))[0]

	check := func(who string, got []broker.Entry) {
		t.Helper()
		var texts []string
		for _, e := range got {
			if e.Record.Kind == broker.Hole {
				texts = append(texts, "-")
			} else {
				texts = append(texts, string(e.Record.Data))
			}
		}
		if !slices.Equal(texts, want) {
			r.Errorf("%s: %q, want %q", who, texts, want)
		}
		rising(r, s.begin, got)
	}
	if live {
		if !until(func() bool { return delivered(s)["d"] == 1 }) {
			r.Errorf("the node does not go on")
		}
		check("tail", s.all())
	}
	later := h.another(t, n)
	ls := follow(t, r, later, 100)
	if !until(func() bool { return delivered(ls)["d"] == 1 }) {
		r.Errorf("a later node does not come to the end")
	}
	check("a later node's tail", ls.all())
	check("Read", readAll(t, r, later, s.begin, end, 100))
	stands(t, r, later, known, broker.Exact)
	stands(t, r, later, end, broker.Exact)
}

// newerNode has a node of a later version publish beside the others. Its events reach their clients; of those that
// are beyond them, everybody is told by a gap.
func newerNode(t testing.TB, r Reporter, h Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.ledger.steady = true
	c.audience(10, false)
	put := func(all ...[]byte) {
		if h.Engine == nil {
			for i := range c.sites {
				c.kill(i)
			}
		}
		for _, stored := range all {
			h.Put(t, stored)
		}
		if h.Engine == nil {
			for i := range c.sites {
				c.open(i)
			}
		}
	}
	c.load(2, 20)()
	o := c.ledger.add([]broker.Target{{Kind: broker.Topic, Name: "news"}})
	c.ledger.settle(o, broker.Result{Err: broker.ErrUnknownOutcome}) // nobody says where it is
	put(withField(broker.Record{Targets: o.targets, Data: []byte(strconv.Itoa(o.number))}, ignorable))
	c.load(2, 20)()
	c.settle()
	for _, stored := range tooNew() {
		put(stored)
		c.load(2, 10)()
		c.settle()
	}
	for _, site := range c.sites {
		if err := site.hub.Health(); !errors.Is(err, broker.ErrNewer) {
			r.Errorf("a node that is too old has the health %v", err)
		}
	}
	c.judge(anyGaps)
	for _, cl := range c.clients {
		if cl.hears(o.targets) && !cl.has(o.number) {
			r.Errorf("%s has not got the event that has a field more", cl.name)
		}
		gaps := 0
		for _, it := range cl.items {
			if it.kind == isGap {
				gaps++
			}
		}
		if gaps < len(tooNew()) {
			r.Errorf("%s was told of %d gaps, and %d events were too new", cl.name, gaps, len(tooNew()))
		}
	}
}
