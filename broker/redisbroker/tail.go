package redisbroker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	pageEntries = 512
	// fillBytes limits the history that a tail begins with.
	fillBytes = 64 << 20
	// block is how long the tail waits for a new entry before it looks at the log again.
	block = 2 * time.Second
	// trimEvery is about how often a node trims by age.
	trimEvery = time.Minute
)

// tail is one Tail at work.
type tail struct {
	b    *Broker
	sink broker.Sink

	begun bool
	progress
	owes bool // an epoch has to be opened, because entries that this node was told are stored are lost

	state  error // what the sink's State was called with last
	said   bool  // State was called
	logged time.Time
	newer  bool // entries of a newer version have been logged
	junk   junk
	policy string
	trim   time.Time // when to trim next
}

// Tail implements broker.Broker. It has no position before its first connection, so State may come before Begin.
func (b *Broker) Tail(ctx context.Context, last int, sink broker.Sink) error {
	outer := ctx
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	defer b.ledger.Stop()
	t := &tail{b: b, sink: sink, progress: progress{known: map[uint64]struct{}{}}, junk: junk{logger: b.logger}}
	defer t.junk.flush()
	var wait backoff
	for {
		began := time.Now()
		err := t.follow(ctx, last)
		switch {
		case outer.Err() != nil:
			return outer.Err()
		case b.closed.Err() != nil:
			return broker.ErrClosed
		}
		if time.Since(began) > 10*maxBackoff {
			wait = backoff{}
		}
		t.say(unavailable(err))
		_ = wait.sleep(ctx)
	}
}

// say passes the state to the sink, if it has changed.
func (t *tail) say(err error) {
	if t.said && (t.state == nil) == (err == nil) && (err == nil || t.state.Error() == err.Error()) {
		return
	}
	was := t.state
	t.said, t.state = true, err
	if now := time.Now(); err != nil && now.Sub(t.logged) > time.Minute {
		t.b.logger.Warn("redis: the log cannot be read", "error", err)
		t.logged = now
	} else if err == nil && was != nil {
		t.b.logger.Info("redis: the log can be read again")
		t.logged = time.Time{}
	}
	t.sink.State(err)
}

// follow reads until an error.
func (t *tail) follow(ctx context.Context, last int) error {
	t.warnOfEviction(ctx)
	if !t.begun {
		if err := t.begin(ctx, last); err != nil {
			return err
		}
	}
	var target id // the end of the log at the beginning
	for first := true; ; {
		t.acked = t.b.ledger.Highest()
		v, err := t.b.view(ctx, t.b.tail, t.at, "XRANGE", "("+idOf(t.at).String(), "+", pageEntries)
		if err != nil {
			return err
		}
		if ready, err := t.verify(ctx, &v); err != nil {
			return err
		} else if !ready {
			continue
		}
		if first {
			first, target = false, v.last
		}
		t.take(&v)
		if t.owes = t.owes || t.b.ledger.Passed(t.at, v.epochs.find); t.owes {
			if err := t.mark(ctx, &v, t.at); err != nil {
				return err
			}
			continue
		}
		atEnd := len(v.page) == 0 || !idOf(t.at).less(v.last)
		if atEnd || !idOf(t.at).less(target) {
			t.say(nil)
		}
		if err := t.tend(ctx); err != nil {
			return err
		}
		if atEnd {
			if err := t.wait(ctx); err != nil {
				return err
			}
		}
	}
}

// begin hands on the newest entries.
func (t *tail) begin(ctx context.Context, last int) error {
	var (
		page []raw // newest first
		v    view
		size int
	)
	for from := "+"; ; {
		part, err := t.b.view(ctx, t.b.tail, broker.Position{}, "XREVRANGE", from, "-", min(last+1-len(page), pageEntries))
		if err != nil {
			return err
		}
		if len(part.epochs) == 0 {
			if err := t.b.open(ctx, t.b.tail); err != nil {
				return err
			}
			page, size, from = nil, 0, "+"
			continue
		}
		if from == "+" {
			v = part
			t.b.ledger.Start()
		}
		v.first, v.length, v.epochs = part.first, part.length, part.epochs
		whole := part.added == part.length // nothing has ever been trimmed
		page = append(page, part.page...)
		for _, e := range part.page {
			for _, f := range e.fields {
				size += len(f)
			}
		}
		if len(part.page) == 0 || len(page) > last || size > fillBytes {
			if len(page) <= last && size > fillBytes {
				last = len(page) - 1
			}
			t.beginAt(&v, page, last, whole)
			return nil
		}
		from = "(" + page[len(page)-1].id.String()
	}
}

// beginAt begins with the newest last entries of page. The page holds one more, unless that is all there is.
func (t *tail) beginAt(v *view, page []raw, last int, whole bool) {
	for _, e := range v.epochs {
		t.known[e.name] = struct{}{}
	}
	end := v.last.position(v.epochs.at(v.last).name, 0)
	var begin broker.Position
	switch {
	case len(page) > last:
		begin, _ = position(&page[last], v.epochs)
		page = page[:last]
	case len(page) == 0 && end.Epoch != 0:
		begin = end
	case len(page) == 0: // the stream was deleted, but not its epochs
		begin = v.epochs[len(v.epochs)-1].start()
	default:
		oldest := page[len(page)-1].id
		if whole && v.epochs[0].from == (id{}) {
			begin = v.epochs[0].start()
		} else if begin = oldest.before().position(v.epochs.at(oldest.before()).name, 0); begin.Epoch == 0 {
			begin.Epoch = v.epochs.at(oldest).name
		}
	}
	t.begun, t.at, t.ordinal, t.counted = true, begin, v.added, true
	t.sink.Begin(begin)
	slices.Reverse(page)
	for part := range slices.Chunk(page, pageEntries) {
		t.deliver(part, v.epochs)
	}
}

// position returns the position of an entry, even if the entry cannot be read.
func position(e *raw, all epochs) (p broker.Position, err error) {
	entry, err := e.entry(all)
	return entry.Position, err
}

// verify checks that nothing is missing between the last entry read and the page. If something is, it hands a hole to the sink, or
// puts one into the log for all nodes. Then ready is false, and the log has to be read again.
func (t *tail) verify(ctx context.Context, v *view) (ready bool, err error) {
	what, next, floor := continuity(v, t.progress)
	for _, e := range v.epochs {
		if _, seen := t.known[e.name]; !seen {
			t.known[e.name] = struct{}{}
			t.owes = false // the new epoch covers what this node had acknowledged
		}
	}
	switch what {
	case goesOn:
		return true, nil
	case unopened:
		err = t.b.open(ctx, t.b.tail)
	case trimmed:
		t.holeBeforeFirst(v)
	case renewed:
		t.jump(next)
	case lost:
		err = t.mark(ctx, v, floor)
	}
	return false, err
}

// mark opens a new epoch above floor. Every node reads that as an entry, a hole.
func (t *tail) mark(ctx context.Context, v *view, floor broker.Position) error {
	at := idOf(floor)
	t.b.logger.Warn("redis: the log has lost entries; clients are told of a gap", "after", at.String())
	_, err := t.b.tail.exec(ctx, markScript, []string{t.b.keys.log, t.b.keys.epochs},
		[]string{v.epochs[len(v.epochs)-1].String(), newEpoch(), at.String(), strconv.FormatUint(at.ms, 10), at.next().String()})
	if err == nil {
		// Entries that were read are gone from the stream, and entries that this node has appended may be gone as well.
		t.owes = false
		t.b.ledger.Forget()
	}
	return err
}

// jump continues where an epoch begins.
func (t *tail) jump(e epoch) {
	t.b.logger.Warn("redis: the log has lost entries, or was emptied; clients are told of a gap")
	t.b.ledger.Forget()
	t.ordinal, t.counted = 0, e.from == id{}
	t.hole(e.start())
}

// holeBeforeFirst continues with the oldest entry there is.
func (t *tail) holeBeforeFirst(v *view) {
	t.b.logger.Warn("redis: the log was trimmed before this node had read it; max_events or max_age is too small, or the node is too slow")
	at := v.last
	if v.length > 0 {
		at = v.first.before()
	}
	t.b.ledger.Forget()
	t.ordinal, t.counted = v.added-v.length, true
	t.hole(at.position(v.epochs.at(at).name, 0))
}

func (t *tail) hole(p broker.Position) {
	t.at = p
	t.sink.Deliver([]broker.Entry{{Position: p, Record: broker.Record{Kind: broker.Hole, Time: time.Now()}}})
}

// take hands on a page that verify has accepted.
func (t *tail) take(v *view) {
	t.deliver(v.page, v.epochs)
	t.ordinal += uint64(len(v.page))
	if idOf(t.at) == v.last {
		t.ordinal, t.counted = v.added, true
	}
}

func (t *tail) deliver(page []raw, all epochs) {
	entries := make([]broker.Entry, 0, len(page))
	for i := range page {
		raw := &page[i]
		if _, by, ok := raw.own(); ok {
			t.b.ledger.Read(by)
		}
		e, err := raw.entry(all)
		t.at = e.Position
		if err != nil {
			t.bad(raw, err)
		}
		if err != nil && e.Err == nil {
			continue
		}
		e.Record.Time = t.b.clock.Correct(e.Record.Time)
		entries = append(entries, e)
	}
	if len(entries) > 0 {
		t.sink.Deliver(entries)
	}
}

// bad logs an entry that cannot be read.
func (t *tail) bad(e *raw, err error) {
	if !errors.Is(err, broker.ErrNewer) {
		t.junk.add(e.id, err)
	} else if !t.newer {
		t.newer = true
		t.b.logger.Error("redis: the log has entries that only a newer version can read; update this node", "entry", e.id.String(), "error", err)
	}
}

// wait waits until there is something to read, for at most block.
func (t *tail) wait(ctx context.Context) error {
	_, err := t.b.tail.do(ctx, "XREAD", "COUNT", 1, "BLOCK", block.Milliseconds(), "STREAMS", t.b.keys.log, idOf(t.at).String())
	if ctx.Err() != nil {
		t.b.tail.drop() // Redis may still wait
	}
	return err
}

// tend trims by age, and looks at the eviction policy, about once a minute.
func (t *tail) tend(ctx context.Context) error {
	if time.Now().Before(t.trim) {
		return nil
	}
	if !t.trim.IsZero() { // the policy may have been changed since the tail began
		t.warnOfEviction(ctx)
	}
	t.trim = time.Now().Add(trimEvery/2 + rand.N(trimEvery))
	if t.b.options.MaxAge < 0 {
		return nil
	}
	_, err := t.b.tail.exec(ctx, ageScript, []string{t.b.keys.log}, []string{strconv.FormatInt(t.b.options.MaxAge.Milliseconds(), 10)})
	return err
}
