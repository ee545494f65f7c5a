package hub

import (
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
