// Package membroker is the default broker: a log without a store. Its entries go straight to the hub, whose
// window is all the history there is. Each log has a new epoch, so that a position of an earlier process is
// recognised as unknown.
package membroker

import (
	"context"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// MaxQueue limits how many bytes may wait for Tail. When it is reached, Append waits.
	MaxQueue = 32 << 20
	// KeyWindow is how long an idempotency key is remembered.
	KeyWindow = 10 * time.Minute
	// MaxKeys limits how many are remembered. When it is reached, the oldest is forgotten.
	MaxKeys = 100_000
)

// Broker is a log in memory.
type Broker struct {
	epoch uint64

	mu     sync.Mutex // guards all below
	last   uint64     // the newest entry's number
	queue  []broker.Entry
	spare  []broker.Entry // empty; the next queue
	bytes  int
	keys   map[string]use
	uses   []use         // oldest first
	sink   broker.Sink   // of Tail; nil unless it runs
	busy   bool          // entries are being handed to the sink
	more   chan struct{} // signalled when the queue has entries that Tail is to take
	idle   *sync.Cond    // busy has become false
	waits  int           // calls that wait for room
	room   chan struct{} // closed and replaced when the queue has been emptied and a call waits
	closed chan struct{}
}

// use is the event that an idempotency key stands for.
type use struct {
	key    string
	digest [16]byte
	number uint64
	until  time.Time
}

// Open returns an empty log.
func Open() *Broker {
	b := &Broker{
		epoch: broker.NewEpoch(), keys: map[string]use{},
		more: make(chan struct{}, 1), room: make(chan struct{}), closed: make(chan struct{}),
	}
	b.idle = sync.NewCond(&b.mu)
	return b
}

func (b *Broker) position(number uint64) broker.Position {
	return broker.Position{Epoch: b.epoch, Minor: number}
}

// Append implements broker.Broker. If the sink says that it would not wait, Append hands it the entries on its own goroutine:
// waking Tail's would cost more.
func (b *Broker) Append(ctx context.Context, records []broker.Record) []broker.Result {
	results := make([]broker.Result, len(records))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range records {
		if b.bytes > MaxQueue {
			b.signal()
		}
		if err := b.wait(ctx); err != nil {
			results[i].Err = err
			continue
		}
		results[i] = b.append(&records[i])
	}
	b.handOn()
	return results
}

// maxTurns is how often a call of Append also hands on what other calls have added meanwhile.
const maxTurns = 4

// handOn hands the queue on to the sink, or has Tail do so. If another call is already doing that, handOn leaves it to that call. The
// caller holds mu, which handOn unlocks meanwhile.
func (b *Broker) handOn() {
	if b.busy {
		return
	}
	for turn := 0; len(b.queue) > 0; turn++ {
		sink, ok := b.sink.(broker.PromptSink)
		if !ok || turn == maxTurns || !sink.Prompt() {
			b.signal()
			return
		}
		b.deliver(sink)
	}
}

// deliver hands the queue on to the sink. The caller holds mu, which deliver unlocks meanwhile, and has seen that busy is false.
func (b *Broker) deliver(sink broker.Sink) {
	batch := b.queue
	b.queue, b.spare, b.bytes, b.busy = b.spare, nil, 0, true
	if b.waits > 0 {
		close(b.room)
		b.room, b.waits = make(chan struct{}), 0
	}
	b.mu.Unlock()
	sink.Deliver(batch)
	clear(batch)
	b.mu.Lock()
	b.spare, b.busy = batch[:0], false
	b.idle.Broadcast()
}

// signal has Tail take the queue.
func (b *Broker) signal() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// wait waits until there is room for a record. The caller holds mu, which wait unlocks meanwhile.
func (b *Broker) wait(ctx context.Context) error {
	for {
		select {
		case <-b.closed:
			return broker.ErrClosed
		default:
		}
		if b.bytes <= MaxQueue {
			return nil
		}
		room := b.room
		b.waits++
		b.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-b.closed:
		case <-ctx.Done():
			err = broker.ErrOverloaded
		}
		b.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// append stores a record. The caller holds mu.
func (b *Broker) append(r *broker.Record) broker.Result {
	r.Time = time.Now()
	if r.Key != "" {
		b.forget(r.Time, MaxKeys)
		if old, ok := b.keys[r.Key]; ok {
			if old.digest != r.Digest {
				return broker.Result{Err: broker.ErrKeyReused}
			}
			return broker.Result{Position: b.position(old.number), Repeated: true}
		}
		b.forget(r.Time, MaxKeys-1)
		u := use{r.Key, r.Digest, b.last + 1, r.Time.Add(KeyWindow)}
		b.keys[r.Key] = u
		b.uses = append(b.uses, u)
	}
	b.last++
	p := b.position(b.last)
	b.queue = append(b.queue, broker.Entry{Position: p, Record: *r})
	b.bytes += len(r.Data) + int(r.NamesSize()) + 256
	return broker.Result{Position: p}
}

// forget drops the keys whose time is over, and the oldest if there are more than most. The caller holds mu.
func (b *Broker) forget(now time.Time, most int) {
	n := 0
	for n < len(b.uses) && (len(b.uses)-n > most || !now.Before(b.uses[n].until)) {
		delete(b.keys, b.uses[n].key)
		n++
	}
	b.uses = b.uses[n:]
}

// Tail implements broker.Broker. It begins with what was appended before the first call.
func (b *Broker) Tail(ctx context.Context, _ int, sink broker.Sink) error {
	b.mu.Lock()
	begin := b.position(b.last - uint64(len(b.queue)))
	b.mu.Unlock()
	sink.Begin(begin)
	sink.State(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sink = sink
	for {
		for !b.busy && len(b.queue) > 0 {
			b.deliver(sink)
		}
		b.mu.Unlock()
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-b.closed:
			err = broker.ErrClosed
		case <-b.more:
		}
		b.mu.Lock()
		if err != nil {
			for b.sink = nil; b.busy; {
				b.idle.Wait()
			}
			return err
		}
	}
}

// Read implements broker.Broker: nothing is kept.
func (b *Broker) Read(_ context.Context, after, _ broker.Position, _ int) ([]broker.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case after.Epoch != b.epoch || after.Minor > b.last || after != b.position(after.Minor):
		return nil, broker.ErrUnknown
	case after.Minor == b.last:
		return nil, nil
	}
	return nil, broker.ErrTrimmed
}

// Resolve implements broker.Broker.
func (b *Broker) Resolve(_ context.Context, p broker.Position) (broker.Standing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case p != (broker.Position{Epoch: b.epoch, Minor: p.Minor}):
		return broker.Unknown, nil
	case p.Minor > b.last:
		return broker.Ahead, nil
	case p.Minor == b.last:
		return broker.Exact, nil
	}
	return broker.Trimmed, nil
}

// Forgets implements broker.Forgetful.
func (b *Broker) Forgets() {}

// Close implements broker.Broker.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

var (
	_ broker.Broker    = (*Broker)(nil)
	_ broker.Forgetful = (*Broker)(nil)
)
