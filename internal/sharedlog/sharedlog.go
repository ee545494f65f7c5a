// Package sharedlog is a log server in memory for the tests of the suites: the smallest one that several nodes can share. Faults
// can be planted in it, and the suites must find each.
package sharedlog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Engine is a log server in memory. It can do what the suites ask of a real one, and, with a fault planted, what no broker
// may do.
type Engine struct {
	fault Fault

	mu      sync.Mutex // guards all below
	disk    disk
	life    int // counts starts
	up      bool
	full    bool
	frozen  bool
	changed chan struct{} // closed and replaced with every change
}

// Fault is what is wrong with an engine, on purpose.
type Fault struct {
	Drops   uint64 // every Drops-th entry is acknowledged and not kept
	Doubles bool   // a repeated key is stored again
	Reuses  bool   // a start begins no new epoch, and no tail checks whether the log is still the same
	Skips   bool   // records that it cannot read are skipped without a hole
	Recalls bool   // keys never expire
	Crams   bool   // records are refused and stored when the log is full
	Distant bool   // a node skips entries that are old by its own clock
	Forgets bool   // acknowledged entries that no tail has read may be lost without a hole
	Unsure  int    // not a fault: of every Unsure appends, one is stored and its answer lost
}

// disk is the part of an engine that outlives a restart.
type disk struct {
	epochs  []epoch
	entries []broker.Entry
	base    uint64 // the number of the first entry that is kept, or of the next
	next    uint64
	keys    map[string]use
}

// epoch is one life of the log. Every start begins one, so that no number is given out twice.
type epoch struct {
	id, first uint64
	hole      bool // a tail has noticed a loss, and stored a hole
}

type use struct {
	digest   [16]byte
	position broker.Position
	until    time.Time
}

func New(f Fault) *Engine {
	e := &Engine{fault: f, changed: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wipe()
	e.start()
	return e
}

// signal wakes all waiting nodes. The caller holds mu, as for all unexported methods below.
func (e *Engine) signal() {
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *Engine) wipe() { e.disk = disk{base: 1, next: 1, keys: map[string]use{}} }

func (e *Engine) start() {
	e.up = true
	e.life++
	if !e.fault.Reuses || len(e.disk.epochs) == 0 {
		e.disk.epochs = append(e.disk.epochs, epoch{id: broker.NewEpoch(), first: e.disk.next})
	}
	e.signal()
}

func (e *Engine) with(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	e.signal()
}

func (e *Engine) Kill(testing.TB)   { e.with(func() { e.up = false }) }
func (e *Engine) Start(testing.TB)  { e.with(e.start) }
func (e *Engine) Freeze(testing.TB) { e.with(func() { e.frozen = true }) }
func (e *Engine) Thaw(testing.TB)   { e.with(func() { e.frozen = false }) }
func (e *Engine) Empty(testing.TB)  { e.with(func() { e.wipe(); e.start() }) }

func (e *Engine) Snapshot(testing.TB) func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.disk.clone()
	return func() { e.with(func() { e.disk = old.clone(); e.start() }) }
}

func (d disk) clone() disk {
	d.epochs, d.entries, d.keys = slices.Clone(d.epochs), slices.Clone(d.entries), maps.Clone(d.keys)
	return d
}

func (e *Engine) trim(keep int) {
	e.with(func() {
		if n := len(e.disk.entries) - keep; n > 0 {
			e.disk.entries = slices.Clone(e.disk.entries[n:])
			e.disk.base = e.disk.next - uint64(keep)
		}
	})
}

// epochOf returns the index of the epoch that a number belongs to.
func (d *disk) epochOf(number uint64) int {
	for i := len(d.epochs) - 1; i > 0; i-- {
		if d.epochs[i].first <= number {
			return i
		}
	}
	return 0
}

func (d *disk) position(number uint64) broker.Position {
	return broker.Position{Epoch: d.epochs[d.epochOf(number)].id, Minor: number}
}

// stands returns how a position stands to the log.
func (d *disk) stands(p broker.Position) broker.Standing {
	i := slices.IndexFunc(d.epochs, func(e epoch) bool { return e.id == p.Epoch })
	switch {
	case i < 0 || p.Major != 0 || p.Check != 0:
		return broker.Unknown
	case i+1 < len(d.epochs) && p.Minor >= d.epochs[i+1].first:
		return broker.Lost
	case p.Minor >= d.next:
		return broker.Ahead
	case p.Minor+1 < d.base:
		return broker.Trimmed
	}
	return broker.Exact
}

// store appends one record.
func (e *Engine) store(r broker.Record) broker.Result {
	d := &e.disk
	now := time.Now()
	if old, ok := d.keys[r.Key]; ok && r.Key != "" && (now.Before(old.until) || e.fault.Recalls) && d.stands(old.position) != broker.Lost {
		switch {
		case old.digest != r.Digest:
			return broker.Result{Err: broker.ErrKeyReused}
		case e.fault.Doubles:
			e.put(r, now)
		}
		return broker.Result{Position: old.position, Repeated: true}
	}
	if e.full {
		if e.fault.Crams {
			e.put(r, now)
		}
		return broker.Result{Err: broker.ErrFull}
	}
	p := e.put(r, now)
	if r.Key != "" {
		d.keys[r.Key] = use{r.Digest, p, now.Add(10 * time.Minute)}
	}
	return broker.Result{Position: p}
}

func (e *Engine) put(r broker.Record, now time.Time) broker.Position {
	r.Time = now
	p := e.disk.position(e.disk.next)
	e.disk.next++
	if e.fault.Drops == 0 || p.Minor%e.fault.Drops != 0 {
		e.disk.entries = append(e.disk.entries, broker.Entry{Position: p, Record: r})
	}
	return p
}

// goOn returns the number after which a tail that has come to p continues in a new life of the engine. acked is the newest
// entry that the tail's node was told is stored. If p or acked was lost, the tail continues before the first entry of the
// life since, and there has to be a hole.
func (e *Engine) goOn(p broker.Position, acked *broker.Position) uint64 {
	d := &e.disk
	there := func(p broker.Position) bool {
		s := d.stands(p)
		return s == broker.Exact || s == broker.Trimmed
	}
	if e.fault.Reuses || there(p) && (acked.IsZero() || there(*acked) || e.fault.Forgets) {
		return p.Minor
	}
	*acked = broker.Position{}
	since := len(d.epochs) - 1
	if i := slices.IndexFunc(d.epochs, func(e epoch) bool { return e.id == p.Epoch }); i >= 0 {
		since = i + 1
	}
	if !slices.ContainsFunc(d.epochs[since:], func(e epoch) bool { return e.hole }) {
		d.epochs[len(d.epochs)-1].hole = true
		e.put(broker.Record{Kind: broker.Hole}, time.Now())
		e.signal()
	}
	return d.epochs[since].first - 1
}

// after returns the entries after a number.
func (d *disk) after(number uint64, limit int) []broker.Entry {
	i, _ := slices.BinarySearchFunc(d.entries, number+1, func(e broker.Entry, n uint64) int {
		return int(int64(e.Position.Minor) - int64(n))
	})
	return slices.Clone(d.entries[i:min(len(d.entries), i+limit)])
}

var errAway = errors.New("the engine does not answer")

// node is a broker on an engine.
type node struct {
	engine *Engine
	closed chan struct{}
	calls  int
	ahead  time.Duration // its clock

	acked broker.Position // the newest entry of its own; the engine's mu guards it
}

// view returns the entries that the node sees.
func (n *node) view(entries []broker.Entry) []broker.Entry {
	return slices.DeleteFunc(entries, func(e broker.Entry) bool {
		return n.engine.fault.Distant && len(e.Record.Targets) == 1 && e.Record.Targets[0].Kind == broker.Topic && time.Now().Add(n.ahead).Sub(e.Record.Time) > time.Minute
	})
}

// reach waits for the engine and runs do with its lock, until ctx is done.
func (n *node) reach(ctx context.Context, do func()) error {
	e := n.engine
	for {
		e.mu.Lock()
		changed := e.changed
		if e.up && !e.frozen {
			do()
			e.mu.Unlock()
			return nil
		}
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(broker.ErrUnavailable, errAway)
		case <-n.closed:
			return broker.ErrClosed
		}
	}
}

func (n *node) Append(ctx context.Context, records []broker.Record) []broker.Result {
	results := make([]broker.Result, len(records))
	err := ctx.Err()
	if err == nil {
		err = n.reach(ctx, func() {
			for i, r := range records {
				if results[i] = n.engine.store(r); results[i].Err == nil && !results[i].Repeated {
					n.acked = results[i].Position
				}
			}
			if n.calls++; n.engine.fault.Unsure > 0 && n.calls%n.engine.fault.Unsure == 0 {
				clear(results)
				for i := range results {
					results[i].Err = broker.ErrUnknownOutcome
				}
			}
			n.engine.signal()
		})
	}
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
	}
	return results
}

func (n *node) Tail(ctx context.Context, last int, sink broker.Sink) error {
	e := n.engine
	var at broker.Position // all up to here has been handed on
	var next uint64        // the number of that
	var life int
	var state error = errAway // not nil, so that the first nil is reported
	told := false
	for {
		var begin bool
		var batch []broker.Entry
		e.mu.Lock()
		away := !e.up || e.frozen
		if !away {
			d := &e.disk
			switch {
			case life == 0:
				begin = true
				next = max(d.base-1, d.next-1-min(uint64(last), d.next-1))
				at = d.position(next)
			case life != e.life:
				next = e.goOn(at, &n.acked)
			}
			life = e.life
			if next+1 < d.base {
				next = d.base - 1
				batch = []broker.Entry{{Position: d.position(next), Record: broker.Record{Kind: broker.Hole}}}
			} else {
				batch = d.after(next, 512)
			}
		}
		changed, more := e.changed, len(batch) > 0
		e.mu.Unlock()

		if begin {
			sink.Begin(at)
		}
		switch {
		case away && (state == nil || !told):
			state, told = errAway, true
			sink.State(state)
		case !away && len(batch) > 0:
			at = batch[len(batch)-1].Position
			next = at.Minor
			if batch = n.view(batch); len(batch) > 0 {
				sink.Deliver(batch)
			}
		case !away && state != nil:
			state = nil
			sink.State(nil)
		}
		if more {
			changed = closedChannel // there may be more
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.closed:
			return broker.ErrClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.closed:
			return broker.ErrClosed
		default:
		}
	}
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (n *node) Read(ctx context.Context, after, upTo broker.Position, limit int) (entries []broker.Entry, err error) {
	away := n.reach(ctx, func() {
		d := &n.engine.disk
		for _, p := range []broker.Position{after, upTo} {
			switch s := d.stands(p); {
			case s == broker.Unknown || s == broker.Ahead:
				err = broker.ErrUnknown
			case s == broker.Lost && err == nil:
				err = broker.ErrLost
			case s == broker.Trimmed && p == after:
				err = broker.ErrTrimmed
			}
		}
		if err == nil {
			entries = d.after(after.Minor, limit)
			if i := slices.IndexFunc(entries, func(e broker.Entry) bool { return e.Position.Minor > upTo.Minor }); i >= 0 {
				entries = entries[:i]
			}
		}
	})
	return entries, errors.Join(away, err)
}

func (n *node) Resolve(ctx context.Context, p broker.Position) (s broker.Standing, err error) {
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s, n.reach(short, func() { s = n.engine.disk.stands(p) })
}

func (n *node) Close() error {
	close(n.closed)
	return nil
}
