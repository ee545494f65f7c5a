package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// contract holds the cases of the suite.
var contract = []Case{
	{Name: "one order", Run: oneOrder},
	{Name: "every field", Run: everyField},
	{Name: "large records", Run: largeRecords},
	{Name: "tail", Run: tailOfEmpty},
	{Name: "tail of history", Run: tailOfHistory, Needs: keeps},
	{Name: "sink that blocks", Run: blockedSink},
	{Name: "read", Run: readPages, Needs: keeps},
	{Name: "read of nothing", Run: readNothing},
	{Name: "resolve", Run: resolve},
	{Name: "trimmed", Run: trimmed, Needs: trims},
	{Name: "trimmed empty", Run: trimmedEmpty, Needs: trims},
	{Name: "keys", Run: keys},
	{Name: "keys on two nodes", Run: keysOnTwoNodes, Needs: shared},
	{Name: "keys across a restart", Run: keysAcrossRestart, Needs: keeps},
	{Name: "keys after their time", Run: keysAfterTheirTime, Needs: ages},
	{Name: "full", Run: full, Needs: fills},
	{Name: "newer records", Run: newerRecords, Needs: takesPut},
	{Name: "cancelled", Run: cancelled},
	{Name: "closed", Run: closed},
	{Name: "nothing is left", Run: nothingIsLeft, Alone: true},
	{Name: "directory", Run: directory},
	{Name: "nodes", Run: nodesApart, Needs: shared},
	{Name: "report at once", Run: reportAtOnce, Needs: shared},
	{Name: "engine away", Run: engineAway, Needs: hasEngine},
	{Name: "engine rolled back", Run: engineRolledBack, Needs: hasEngine},
	{Name: "engine rolled back before a tail has read", Run: unreadRolledBack, Needs: hasEngine},
	{Name: "engine away at open", Run: engineAwayAtOpen, Needs: hasEngine},
}

// oneOrder has several publishers on every node. All nodes must see all records, in one order.
func oneOrder(t testing.TB, r Reporter, h Harness) {
	const publishers, groups = 2, 60
	nodes := h.nodes(t, 3)
	var tails []*tail
	for _, n := range nodes {
		tails = append(tails, started(t, r, n, 0))
	}
	var mu sync.Mutex
	acked := map[string]broker.Position{}
	var publishing sync.WaitGroup
	for i, n := range nodes {
		for p := range publishers {
			publishing.Go(func() {
				number := 0
				for g := range groups {
					var records []broker.Record
					for range 1 + g%7 {
						records = append(records, event(fmt.Sprintf("%d.%d.%d", i, p, number)))
						number++
					}
					data := make([]string, len(records))
					for i := range records {
						data[i] = string(records[i].Data)
					}
					results := try(n, patience, records...)
					clear(records) // the slice is the caller's again
					if len(results) != len(data) {
						r.Errorf("%d results for %d records", len(results), len(data))
						return
					}
					mu.Lock()
					for i, res := range results {
						if res.Err != nil || res.Repeated || res.Position.IsZero() {
							r.Errorf("appending: %+v", res)
						}
						acked[data[i]] = res.Position
					}
					mu.Unlock()
				}
			})
		}
	}
	publishing.Wait()
	for i, s := range tails {
		if !Until(func() bool { return s.count() >= len(acked) }) {
			r.Errorf("node %d has %d of %d entries", i, s.count(), len(acked))
		}
		entries := s.all()
		rising(r, s.begin, entries)
		next := map[string]int{}
		for _, e := range entries {
			data := string(e.Record.Data)
			if p, ok := acked[data]; !ok || p != e.Position {
				r.Errorf("node %d: %q at %s, acknowledged at %s", i, data, e.Position, p)
			}
			cut := strings.LastIndexByte(data, '.')
			if data[cut+1:] != fmt.Sprint(next[data[:cut]]) {
				r.Errorf("node %d: %s, want number %d of this publisher", i, data, next[data[:cut]])
			}
			next[data[:cut]]++
		}
		if !slices.EqualFunc(entries, tails[0].all(), func(a, b broker.Entry) bool { return a.Position == b.Position }) {
			r.Errorf("nodes 0 and %d do not see one order", i)
		}
	}
}

// rising checks the positions of entries that were handed on after begin.
func rising(r Reporter, begin broker.Position, entries []broker.Entry) {
	r.Helper()
	last := begin
	if last.IsZero() {
		r.Errorf("Begin without a position")
	}
	for _, e := range entries {
		p := e.Position
		text := p.String()
		if q, ok := broker.ParsePosition(text); !ok || q != p || strings.Contains(text, "~") {
			r.Errorf("%+v does not survive its text form %q", p, text)
		}
		if p.Epoch == last.Epoch && p.Compare(last) <= 0 {
			r.Errorf("%s comes after %s", p, last)
		}
		last = p
	}
}

// bytewise is data with every byte, and with text that looks like an engine's protocol.
var bytewise = func() []byte {
	b := []byte("\r\n$5\r\n\x00*3\r\nMSG +OK -ERR {} \"\xff\xfe")
	for i := range 256 {
		b = append(b, byte(i))
	}
	return b
}()

// samples returns records of every shape.
func samples() []broker.Record {
	full := broker.Record{
		Targets: []broker.Target{
			{Kind: broker.Broadcast}, {Kind: broker.User, Name: "üser/1 \x7f"}, {Kind: broker.Topic, Name: "a/b:c{d}*"},
			{Kind: broker.Connection, Name: "c-1"},
		},
		Exclude: []string{"x", "y z"},
		Type:    "type:1", ID: "id ~ 1", Data: bytewise, Retry: 1500 * time.Millisecond,
		TTL: 90 * time.Second, Coalesce: "co", Key: "k e:y#0 {ü}", Digest: [16]byte{0: 1, 15: 255}, Receipt: 1<<63 + 7,
	}
	return []broker.Record{
		full,
		{Targets: full.Targets[:1]},
		{Targets: full.Targets[1:2], Data: []byte("\n\n")},
		{Kind: broker.Disconnect, Targets: full.Targets[1:]},
		{Kind: broker.Deny, Targets: full.Targets[1:2], TTL: time.Minute},
		{Kind: broker.Join, Targets: full.Targets[1:2], Topics: []string{"a/b", "c/**"}},
		{Targets: full.Targets[2:3], Data: []byte{0}, Key: "0"},
		{Targets: full.Targets[2:3], Data: bytes.Repeat([]byte("\r\n"), 100), Key: strings.Repeat("k", 128)},
	}
}

// sameRecord reports whether two records are the same, apart from their times.
func sameRecord(a, b broker.Record) bool {
	return a.Kind == b.Kind && slices.Equal(a.Targets, b.Targets) && slices.Equal(a.Exclude, b.Exclude) && slices.Equal(a.Topics, b.Topics) &&
		a.Type == b.Type && a.ID == b.ID && bytes.Equal(a.Data, b.Data) && a.Retry == b.Retry && a.TTL == b.TTL &&
		a.Coalesce == b.Coalesce && a.Key == b.Key && a.Digest == b.Digest && a.Receipt == b.Receipt
}

// everyField appends records of every shape. They come back unchanged from every Tail, from Read, and from a node that is
// opened later.
func everyField(t testing.TB, r Reporter, h Harness) {
	nodes := h.nodes(t, 2)
	var tails []*tail
	for _, n := range nodes {
		tails = append(tails, started(t, r, n, 0))
	}
	want := samples()
	var given []broker.Record // Append takes them over
	for _, s := range want {
		s.Data = bytes.Clone(s.Data)
		s.Targets, s.Exclude = slices.Clone(s.Targets), slices.Clone(s.Exclude)
		given = append(given, s)
	}
	before := time.Now()
	positions := store(t, nodes[0], given...)
	compare := func(who string, got []broker.Entry) {
		r.Helper()
		if len(got) != len(want) {
			r.Errorf("%s: %d entries, want %d", who, len(got), len(want))
			return
		}
		for i := range got {
			if !sameRecord(want[i], got[i].Record) || got[i].Position != positions[i] {
				r.Errorf("%s: got %+v, want %+v at %s", who, got[i], want[i], positions[i])
			}
			if off := got[i].Record.Time.Sub(before).Abs(); off > time.Minute {
				r.Errorf("%s: appended at %s, now is %s", who, got[i].Record.Time, before)
			}
		}
	}
	for i, s := range tails {
		if !Until(func() bool { return s.count() >= len(want) }) {
			r.Errorf("node %d: not all has come", i)
		}
		compare(fmt.Sprintf("tail of node %d", i), s.all())
	}
	if !h.Keeps {
		return
	}
	begin := tails[0].begin
	compare("Read", readAll(t, r, nodes[0], begin, positions[len(positions)-1], 100))
	tails[0].stop()
	later := h.another(t, nodes[0])
	compare("a later node's tail", started(t, r, later, 100).all())
	compare("a later node's Read", readAll(t, r, later, begin, positions[len(positions)-1], 100))
}

// largeRecords appends events with 1 MiB of data, alone and in a group.
func largeRecords(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	large := func(i int) []byte {
		b := bytes.Repeat(bytewise, 1<<20/len(bytewise)+1)[:1<<20]
		b[i] = 'X'
		return b
	}
	store(t, n, event(string(large(0))))
	store(t, n, event("small"), event(string(large(1))), event(string(large(2))), event(string(large(3))), event("last"))
	if !Until(func() bool { return s.count() >= 6 }) {
		r.Errorf("%d of 6 entries have come", s.count())
	}
	for i, e := range s.all() {
		want := []byte("small")
		switch i {
		case 0, 2, 3, 4:
			want = large(max(i-1, 0))
		case 5:
			want = []byte("last")
		}
		if !bytes.Equal(e.Record.Data, want) {
			r.Errorf("entry %d: %d bytes came back otherwise", i, len(e.Record.Data))
		}
	}
	if h.Keeps && len(s.all()) == 6 {
		got := readAll(t, r, n, s.begin, s.all()[5].Position, 100)
		if len(got) != 6 || !bytes.Equal(got[4].Record.Data, large(3)) {
			r.Errorf("Read gave %d entries, or other ones", len(got))
		}
	}
}

// readAll reads page by page.
func readAll(t testing.TB, r Reporter, b broker.Broker, after, upTo broker.Position, limit int) (all []broker.Entry) {
	t.Helper()
	for {
		page, err := b.Read(t.Context(), after, upTo, limit)
		switch {
		case err != nil:
			r.Errorf("reading after %s: %v", after, err)
			return all
		case len(page) == 0:
			return all
		case len(page) > limit:
			r.Errorf("%d entries, asked for %d", len(page), limit)
		}
		rising(r, after, page)
		all = append(all, page...)
		after = page[len(page)-1].Position
	}
}

// isUnavailable reports whether Append may return an error while the engine is away.
func isUnavailable(err error) bool {
	return errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrUnknownOutcome)
}
