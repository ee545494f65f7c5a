package redisbroker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func standing(t testing.TB, b *Broker, p broker.Position) broker.Standing {
	t.Helper()
	s, err := b.Resolve(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// After a rollback, the id of a lost entry names another one.
func TestRollbackToTheSameID(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	kept := store(t, b, "kept")
	tail.comes(t, "kept")
	restore := s.Snapshot(t)
	release := tail.hold() // once it has read an entry, so that it notices the rollback only after the other entry is there
	defer release()
	id := fmt.Sprintf("%d-0", kept.Major+10)
	s.do(t, "XADD", b.keys.log, id, "topic", "t", "data", "lost")
	brokertest.Eventually(t, "the tail is held", tail.held.Load)
	restore()
	s.do(t, "XADD", b.keys.log, id, "topic", "t", "data", "other")
	release()
	tail.comes(t, "kept lost hole")
	lost := tail.all()[1].Position
	if got := standing(t, b, lost); got != broker.Unknown && got != broker.Lost {
		t.Errorf("what was lost stands %d", got)
	}
	if got := standing(t, b, kept); got != broker.Exact {
		t.Errorf("what was kept stands %d", got)
	}
	entries, err := b.Read(t.Context(), kept, tail.all()[2].Position, 10)
	if err != nil || len(entries) != 2 || string(entries[0].Record.Data) != "other" || entries[1].Record.Kind != broker.Hole {
		t.Errorf("behind what was kept: %v, %v", entries, err)
	}
	store(t, b, "next")
	tail.comes(t, "kept lost hole next")
}

// A rollback to a server whose clock is slow: no id may come twice, and no entry may be skipped.
func TestRollbackAndClockBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, other := s.node(t), s.node(t)
	tail, tail2 := started(t, b, 0), started(t, other, 0)
	store(t, b, "kept")
	restore := s.Snapshot(t)
	ahead := time.Now().Add(time.Hour).UnixMilli()
	s.do(t, "XADD", b.keys.log, fmt.Sprintf("%d-7", ahead), "topic", "t", "data", "lost")
	tail.comes(t, "kept lost")
	tail2.comes(t, "kept lost")
	lost := tail.all()[1].Position
	restore()
	tail.comes(t, "kept lost hole")
	tail2.comes(t, "kept lost hole")
	hole := tail.all()[2].Position
	if hole != tail2.all()[2].Position || hole.Epoch == lost.Epoch || hole.Compare(lost) <= 0 {
		t.Errorf("lost %s, holes at %s and %s", lost, hole, tail2.all()[2].Position)
	}
	if p := store(t, other, "next"); p.Epoch != hole.Epoch || p.Compare(hole) <= 0 {
		t.Errorf("after the hole at %s comes %s", hole, p)
	}
	tail.comes(t, "kept lost hole next")
	tail2.comes(t, "kept lost hole next")
	if got := standing(t, b, lost); got != broker.Lost {
		t.Errorf("what was lost stands %d", got)
	}
}

// An entry that was acknowledged, and lost before any tail had read it, is a hole as well.
func TestRollbackOfUnreadAppend(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	store(t, b, "read")
	tail.comes(t, "read")
	restore := s.Snapshot(t)
	release := tail.hold()
	defer release()
	s.do(t, "XADD", b.keys.log, "*", "topic", "t", "data", "held") // keeps the tail busy
	brokertest.Eventually(t, "the tail is held", tail.held.Load)
	unread := store(t, b, "unread")
	restore()
	release()
	brokertest.Eventually(t, "a hole", func() bool {
		all := tail.all()
		return all[len(all)-1].Record.Kind == broker.Hole
	})
	if got := standing(t, b, unread); got != broker.Lost && got != broker.Unknown {
		t.Errorf("what was lost stands %d", got)
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, other := s.node(t), s.node(t)
	tail, tail2 := started(t, b, 0), started(t, other, 0)
	old := store(t, b, "old")
	tail.comes(t, "old")
	tail2.comes(t, "old")
	s.do(t, "FLUSHALL")
	store(t, b, "new")
	tail.comes(t, "old hole new")
	tail2.comes(t, "old hole new")
	if got := standing(t, b, old); got != broker.Unknown {
		t.Errorf("an id of the old life stands %d", got)
	}
	later := started(t, s.node(t), 10)
	later.comes(t, "new")
	if got := standing(t, b, later.begin); got != broker.Exact {
		t.Errorf("the new life's beginning stands %d", got)
	}
}

// Only the stream is gone.
func TestStreamDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	store(t, b, "old")
	tail.comes(t, "old")
	s.do(t, "DEL", b.keys.log)
	tail.comes(t, "old hole")
	store(t, b, "new")
	tail.comes(t, "old hole new")
	started(t, s.node(t), 10).comes(t, "hole new")
}

// A node that is too slow gets a hole, and only then.
func TestTrimmedUnderSlowNode(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	release := tail.hold()
	defer release()
	for i := range 2000 {
		store(t, b, fmt.Sprint(i))
	}
	s.trim(t, 3)
	release()
	brokertest.Eventually(t, "the last entry", func() bool {
		all := tail.all()
		return len(all) > 0 && string(all[len(all)-1].Record.Data) == "1999"
	})
	all := tail.all()
	if n := len(all); all[n-4].Record.Kind != broker.Hole || string(all[n-3].Record.Data) != "1997" {
		t.Fatalf("of %d entries, the last four are %+v", n, all[n-4:])
	}
	for i, e := range all[:len(all)-4] {
		if string(e.Record.Data) != fmt.Sprint(i) {
			t.Fatalf("entry %d is %q", i, e.Record.Data)
		}
	}
	hole := all[len(all)-4].Position
	if got, err := b.Read(t.Context(), hole, all[len(all)-1].Position, 10); err != nil || len(got) != 3 {
		t.Errorf("behind the hole: %d entries, %v", len(got), err)
	}
	if _, err := b.Read(t.Context(), all[0].Position, hole, 10); !errors.Is(err, broker.ErrTrimmed) {
		t.Errorf("before the hole: %v", err)
	}
}

func TestTrimByAge(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 350 {
		s.do(t, "XADD", keysOf("h").log, fmt.Sprintf("%d-0", i+1), "topic", "t", "data", "old")
	}
	b := s.node(t, func(o *Options) { o.MaxAge = time.Hour })
	tail := started(t, b, 0)
	brokertest.Eventually(t, "old entries are trimmed", func() bool {
		n, _ := redis.Int64(s.do(t, "XLEN", b.keys.log), nil)
		return n <= 100
	})
	s.do(t, "XTRIM", b.keys.log, "MINID", fmt.Sprint(time.Now().UnixMilli()))
	store(t, b, "new")
	tail.comes(t, "new")
}
