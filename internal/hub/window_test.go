package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// A shard may lag by more than a small window holds. An entry that steers connections, and was trimmed before the shard came to
// it, still counts: nothing after it is read.
func TestReadWaitsForWhatWasTrimmed(t *testing.T) {
	w := newWindow(History{Events: 2, Age: time.Hour, Bytes: 1 << 20})
	w.begin(broker.Position{Epoch: 1})
	room := []broker.Target{{Kind: broker.Topic, Name: "room"}}
	var batch []broker.Entry
	for i, r := range []broker.Record{
		{Targets: room}, {Kind: broker.Leave, Targets: []broker.Target{{Kind: broker.User, Name: "u"}}, Topics: []string{"room"}}, {Targets: room}, {Targets: room},
	} {
		r.Time = time.Now()
		batch = append(batch, broker.Entry{Position: broker.Position{Epoch: 1, Minor: uint64(i + 1)}, Record: r})
	}
	w.add(batch, nil)
	in := interest{user: "u", topics: newTopics([]string{"room"})}
	for shard, want := range map[uint64]int{0: 0, 1: 0, 2: 2, 4: 2} {
		pg := w.read(in, 2, 1<<20, shard) // the window begins after the Leave
		if len(pg.entries) != want || pg.stalled != (want == 0) {
			t.Errorf("the shard at %d: got %d entries, stalled is %v", shard, len(pg.entries), pg.stalled)
		}
	}
}

// Lives of the log keep their order long after the window has lost their last entry.
func TestLivesKeepTheirOrder(t *testing.T) {
	w := newWindow(History{Events: 2, Age: time.Hour, Bytes: 1 << 20})
	w.begin(broker.Position{Epoch: 1})
	at := func(life uint64) broker.Position { return broker.Position{Epoch: life, Minor: life} }
	for life := uint64(1); life <= 40; life++ {
		w.add([]broker.Entry{{Position: at(life), Record: broker.Record{Targets: everyone, Time: time.Now()}}}, nil)
	}
	early, late := &entry{pos: at(3)}, &entry{pos: at(5)} // read from the archive, so without a seq
	if !w.precedes(early, 0, late.pos) || w.precedes(late, 0, early.pos) {
		t.Error("two lives that have left the window are out of order")
	}
}

// What is kept of a topic that has ended can be dropped, so that topics which are used once do not push out the marks of those that
// are silent.
func TestRetire(t *testing.T) {
	w := newWindow(History{Events: 1, Age: time.Hour, Bytes: 1 << 20})
	w.begin(broker.Position{Epoch: 1})
	var minor uint64
	add := func(topic string) broker.Position {
		minor++
		p := broker.Position{Epoch: 1, Minor: minor}
		w.add([]broker.Entry{{Position: p, Record: broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Time: time.Now()}}}, nil)
		return p
	}
	silent := add("silent")
	hears := interest{topics: newTopics([]string{"silent"})}
	const many = 40_000 // more than there is room for
	for i := range many {
		name := fmt.Sprint("used once: ", i)
		add(name)
		w.retire(broker.Target{Kind: broker.Topic, Name: name}) // it has an entry, and stays
		if len(w.index) > 3 {
			t.Fatalf("%d topics are kept", len(w.index))
		}
		add("silent too")
		w.retire(broker.Target{Kind: broker.Topic, Name: name})
	}
	if gone, _, _ := w.trimmedSince(hears, silent); gone {
		t.Error("a client of the silent topic would get a gap")
	}
	w.retire(broker.Target{Kind: broker.Topic, Name: "never used"})
	if w.retire(broker.Target{Kind: broker.Topic, Name: "silent"}); w.quiet != 0 || w.quietHead != nil || w.quietTail != nil {
		t.Errorf("%d bytes are counted for topics without entries", w.quiet)
	}
}
