package hub_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// stormLog is a log that is slow, fails, is rolled back and trimmed. It numbers everything that was ever appended, over all
// lives: clients get events in the order of these numbers.
type stormLog struct {
	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	epoch   uint64
	entries []broker.Entry // what the log has, and had before it was trimmed
	trimmed int            // how many of the entries are trimmed
	at      int            // how many Tail has handed on
	order   map[broker.Position]int
	all     []broker.Entry // by number
	lost    map[broker.Position]bool
	grown   chan struct{}
}

func newStormLog(rng *rand.Rand) *stormLog {
	l := &stormLog{
		rng: rng, epoch: 100, order: map[broker.Position]int{}, lost: map[broker.Position]bool{}, grown: make(chan struct{}),
	}
	l.order[broker.Position{Epoch: l.epoch}] = -1
	return l
}

// stormChange is the context key of the connection that a Join or a Leave is for.
type stormChange struct{}

func (l *stormLog) Append(ctx context.Context, records []broker.Record) (results []broker.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		if c, ok := ctx.Value(stormChange{}).(*stormConn); ok {
			c.changes = append(c.changes, change{len(l.all), r.Kind == broker.Join})
		}
		results = append(results, broker.Result{Position: l.append(r)})
	}
	return results
}

// append stores a record. The caller holds mu.
func (l *stormLog) append(r broker.Record) broker.Position {
	r.Time = time.Now()
	p := broker.Position{Epoch: l.epoch, Minor: uint64(len(l.entries) + 1)}
	l.order[p] = len(l.all)
	e := broker.Entry{Position: p, Record: r}
	l.entries, l.all = append(l.entries, e), append(l.all, e)
	close(l.grown)
	l.grown = make(chan struct{})
	return p
}

// begin starts a new life, without the newest entries.
func (l *stormLog) begin(without int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cut := max(len(l.entries)-without, l.trimmed)
	for _, e := range l.entries[cut:] {
		l.lost[e.Position] = true
	}
	l.epoch++
	if cut < len(l.entries) {
		l.entries = slices.Clone(l.entries[:cut])
		l.at = min(l.at, cut)
		l.append(broker.Record{Kind: broker.Hole})
	}
}

// trim removes the oldest entries.
func (l *stormLog) trim(keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimmed = max(l.trimmed, min(len(l.entries)-keep, l.at))
}

// number returns the number of the entry at a position.
func (l *stormLog) number(p broker.Position) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.order[p]
	return n, ok
}

// stumble waits a moment, or returns that the log is away.
func (l *stormLog) stumble(ctx context.Context) error {
	l.mu.Lock()
	luck, wait := l.rng.IntN(10), time.Duration(l.rng.IntN(3000))*time.Microsecond
	l.mu.Unlock()
	if luck < 5 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if luck == 9 {
		return broker.ErrUnavailable
	}
	return nil
}

func (l *stormLog) Tail(ctx context.Context, last int, to broker.Sink) error {
	l.mu.Lock()
	l.at = max(l.trimmed, len(l.entries)-last)
	begin := broker.Position{Epoch: 100}
	if l.at > 0 {
		begin = l.entries[l.at-1].Position
	}
	l.mu.Unlock()
	to.Begin(begin)
	for {
		l.mu.Lock()
		batch, grown := slices.Clone(l.entries[l.at:]), l.grown
		if len(batch) > 0 {
			batch = batch[:1+l.rng.IntN(len(batch))]
		}
		l.at += len(batch)
		l.mu.Unlock()
		if len(batch) > 0 {
			to.Deliver(batch)
			if l.stumble(ctx) == nil {
				continue
			}
			pauseStorm(ctx, 20*time.Millisecond)
			continue
		}
		to.State(nil)
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pauseStorm waits for d, or until ctx is done.
func pauseStorm(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// standing returns how a position stands. The caller holds mu.
func (l *stormLog) standing(p broker.Position) broker.Standing {
	_, known := l.order[p]
	switch {
	case !known:
		return broker.Unknown
	case l.lost[p]:
		return broker.Lost
	case int(p.Minor) < l.trimmed:
		return broker.Trimmed
	}
	return broker.Exact
}

func (l *stormLog) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	if err := l.stumble(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.standing(after) {
	case broker.Unknown:
		return nil, broker.ErrUnknown
	case broker.Lost:
		return nil, broker.ErrLost
	case broker.Trimmed:
		return nil, broker.ErrTrimmed
	}
	switch l.standing(upTo) {
	case broker.Unknown:
		return nil, broker.ErrUnknown
	case broker.Lost:
		return nil, broker.ErrLost
	}
	if upTo.Minor <= after.Minor {
		return nil, nil
	}
	list := l.entries[after.Minor:upTo.Minor]
	return slices.Clone(list[:min(limit, len(list))]), nil
}

func (l *stormLog) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	if err := l.stumble(ctx); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing(p), nil
}

func (l *stormLog) Close() error { return nil }
