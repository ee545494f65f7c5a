package brokertest

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Tags of fields that this version does not know. By the tag, the later version says whether a record can be understood
// without the field.
const (
	ignorable = 1000
	critical  = 1001
)

// NewerReadable returns the stored form of r as a later version may write it: with one more field, which this version can
// skip.
func NewerReadable(r broker.Record) []byte { return withField(r, ignorable) }

// withField returns a record's stored form with one more field.
func withField(r broker.Record, tag uint64) []byte {
	r.Time = time.Now()
	b := binary.AppendUvarint(r.Encode(nil), tag)
	return append(binary.AppendUvarint(b, 3), "new"...)
}

// NewerUnreadable returns stored forms that only a later version can read, one for each reason.
func NewerUnreadable() (all [][]byte) {
	kind, target := event("kind"), event("target")
	kind.Kind = 250
	target.Targets = append(target.Targets, broker.Target{Kind: 250, Name: "new"})
	format := withField(event("format"), ignorable)
	format[0]++
	return [][]byte{withField(event("field"), critical), format, withField(kind, ignorable), withField(target, ignorable)}
}

// newerRecords has a node read what a later version has written. It reads what it can, and reports the rest as unreadable.
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
	put(NewerReadable(event("b")))
	known := store(t, n, event("c"))[0]
	for _, stored := range NewerUnreadable() {
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
		if !Until(func() bool { return delivered(s)["d"] == 1 }) {
			r.Errorf("the node does not go on")
		}
		check("tail", s.all())
	}
	later := h.another(t, n)
	ls := follow(t, r, later, 100)
	if !Until(func() bool { return delivered(ls)["d"] == 1 }) {
		r.Errorf("a later node does not come to the end")
	}
	check("a later node's tail", ls.all())
	check("Read", readAll(t, r, later, s.begin, end, 100))
	stands(t, r, later, known, broker.Exact)
	stands(t, r, later, end, broker.Exact)
}
