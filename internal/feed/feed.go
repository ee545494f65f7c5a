package feed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const (
	// Gather is the shortest time between two appends to the log. What arrives within it is stored together.
	Gather = 20 * time.Millisecond

	// What waits for the next append is stored earlier if it is more than this.
	maxWaiting      = 256
	maxWaitingBytes = 256 << 10

	// How long a log that cannot take events at the moment is left alone.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("the feed is closed")

// errOrder says that the log has stored a later event but not an earlier one.
var errOrder = errors.New("the log has stored events out of order")

// Log is where events go. A *hub.Hub is one.
type Log interface {
	Publish(ctx context.Context, records []broker.Record) []broker.Result
}

// Config is what a Feed is made of.
type Config struct {
	Log    Log
	Topic  string // that gets the events
	Format Format
	Type   string        // the name of events that the upstream gives none; "" for none
	Event  int           // how many bytes an event may have
	Wait   time.Duration // how long a log that lags or is away is waited for

	// Key begins the idempotency keys of the events, so that a store with an unknown outcome can be repeated. If it is "", the
	// events have no keys, and an unknown outcome ends the feed.
	Key string

	// LastEventID is the last id that was read from the upstream before, in another connection to it.
	LastEventID string

	// Stored, if set, is called with each event that the log has taken, in order, by one goroutine at a time. It must not call the
	// Feed.
	Stored func(*broker.Record, broker.Position)

	// Counts are added to; nil for none.
	Counts *Counts
}

// Feed is one connection to an upstream. Its methods may be called from several goroutines at once.
type Feed struct {
	ctx    context.Context
	config Config
	target []broker.Target // shared by all events

	mu      sync.Mutex // guards all below; held while the log is waited for
	format  format
	waiting []broker.Record // complete, and not yet in the log
	bytes   int             // of their data
	number  uint64          // of events, for their keys
	at      time.Time       // of the last append
	timer   *time.Timer     // for the next one; nil until it is needed
	armed   bool
	err     error // final
}

// New returns a Feed. Once ctx is done, it publishes no more. The caller must Close it.
func New(ctx context.Context, c Config) *Feed {
	if c.Counts == nil {
		c.Counts = new(Counts)
	}
	f := &Feed{ctx: ctx, config: c, target: []broker.Target{{Kind: broker.Topic, Name: c.Topic}}}
	f.format = f.newFormat()
	return f
}

// Write takes the next bytes of the upstream. It returns once they are read, and stored if that is due; it waits for a log that
// lags. An error is final: sse.ErrTooLong if an event is too long, or that of the log.
func (f *Feed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	f.config.Counts.Bytes.Add(uint64(len(p)))
	if err := f.format.feed(p); err != nil {
		return 0, f.fail(err)
	}
	if err := f.storeInTime(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// End tells the Feed that the upstream's bytes are all there: a last line needs no line end. It stores what is left.
func (f *Feed) End() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if err := f.format.end(); err != nil {
		return f.fail(err)
	}
	return f.store()
}

// Close stores what is complete, and returns why the feed has failed, if it has.
func (f *Feed) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.store()
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.err == nil {
		f.err = ErrClosed
	}
	return err
}

// Gap stores what is complete, and then tells those who listen that something may be missing here. reason is that of the gap. It can
// still be called after sse.ErrTooLong.
func (f *Feed) Gap(reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && !errors.Is(f.err, sse.ErrTooLong) {
		return f.err
	}
	f.waiting = append(f.waiting, broker.Record{Kind: broker.Hole, Targets: f.target, Type: reason})
	return f.appendWaiting()
}

// Settle waits until Stored has been called with every event that the log has taken so far.
func (f *Feed) Settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
}

// LastEventID returns the id by which the upstream can be resumed; "" if there is none that a request can hold.
func (f *Feed) LastEventID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.format.lastEventID()
}

// Retry returns how long the upstream wants its clients to wait before they reconnect; 0 if it has not said.
func (f *Feed) Retry() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.format.retry()
}

// Midway reports whether an event has begun but not ended. If the upstream ends here, the event is lost.
func (f *Feed) Midway() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.format.midway()
}

// fail makes an error final. What was complete before it is stored. The caller holds mu.
func (f *Feed) fail(err error) error {
	if stored := f.store(); stored != nil {
		return stored
	}
	f.err = err
	return err
}

// add takes an event of the upstream. The caller holds mu.
func (f *Feed) add(m sse.Message) error {
	r, ok := f.record(m)
	if !ok {
		f.config.Counts.Dropped.Add(1)
		return nil
	}
	if f.config.Key != "" {
		r.Key = f.config.Key + strconv.FormatUint(f.number, 10)
		f.number++
	}
	f.waiting = append(f.waiting, r)
	if f.bytes += len(m.Data); len(f.waiting) >= maxWaiting || f.bytes >= maxWaitingBytes {
		return f.store()
	}
	return nil
}

// storeInTime stores what waits, or has a timer do so if the last append was only just. The caller holds mu.
func (f *Feed) storeInTime() error {
	if f.armed || len(f.waiting) == 0 && !f.format.holds() {
		return nil
	}
	left := Gather - time.Since(f.at)
	if left <= 0 {
		return f.store()
	}
	f.armed = true
	if f.timer == nil {
		f.timer = time.AfterFunc(left, f.late)
	} else {
		f.timer.Reset(left)
	}
	return nil
}

// late stores what waits. An error is returned by the next call of Write.
func (f *Feed) late() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	_ = f.store()
}

// store appends what is complete to the log. The caller holds mu.
func (f *Feed) store() error {
	if f.err != nil {
		return f.err
	}
	if err := f.format.release(); err != nil {
		f.err = err
		return err
	}
	return f.appendWaiting()
}

// appendWaiting appends what waits to the log. It waits for a log that cannot take it at the moment. The caller holds mu.
func (f *Feed) appendWaiting() error {
	ctx, cancel := context.WithTimeout(f.ctx, f.config.Wait)
	defer cancel()
	records := f.waiting
	for pause := firstPause; len(records) > 0; pause = min(2*pause, lastPause) {
		results := f.config.Log.Publish(ctx, records)
		n, err := f.stored(records, results)
		records = records[n:]
		switch {
		case err == nil:
			continue
		case !f.passes(err):
		case errors.Is(err, broker.ErrUnknownOutcome):
			records = append([]broker.Record(nil), records...) // the log may still use the others
			f.waiting = nil
			fallthrough
		default:
			if wait(ctx, pause) {
				continue
			}
		}
		f.err = fmt.Errorf("storing events: %w", err)
		return f.err
	}
	clear(f.waiting)
	f.waiting, f.bytes, f.at = f.waiting[:0], 0, time.Now()
	return nil
}

// stored counts what the log has taken, and returns how many these are and why it has not taken the next.
func (f *Feed) stored(records []broker.Record, results []broker.Result) (n int, err error) {
	for i, r := range results {
		switch {
		case err == nil && r.Err == nil:
			n++
			if f.config.Stored != nil {
				f.config.Stored(&records[i], r.Position)
			}
			if records[i].Kind == broker.Event {
				f.config.Counts.add()
			}
		case err == nil:
			err = r.Err
		case r.Err == nil:
			return n, errOrder
		}
	}
	return n, err
}

// passes reports whether the log may take the same events later.
func (f *Feed) passes(err error) bool {
	switch {
	case errors.Is(err, broker.ErrUnknownOutcome):
		return f.config.Key != ""
	case errors.Is(err, broker.ErrClosed), errors.Is(err, broker.ErrKeyReused), errors.Is(err, broker.ErrTooLarge), errors.Is(err, errOrder):
		return false
	}
	return true
}

// wait waits for a time, and reports false if ctx is done before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
