package redisbroker

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/ledger"
)

// Broker is a hub's log in Redis.
type Broker struct {
	options Options
	logger  *slog.Logger
	keys    keys
	token   string // prefix of the token of each append of this node
	appends atomic.Uint64
	clock   broker.Clock // Redis'
	ledger  ledger.Ledger
	names   directory

	main *link // for all but the tail, so that no publisher waits for the tail's pages
	tail *link

	closed context.Context
	close  context.CancelFunc
	work   sync.WaitGroup // calls in progress
	mu     sync.Mutex     // guards adding to work against Close
}

// keys are the names of a hub's keys.
type keys struct{ prefix, log, epochs, floor, nodes, heard string }

func keysOf(hub string) keys {
	if hub == "" {
		hub = "default"
	}
	// Braces would end the hash tag.
	p := "sse:{" + strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(hub) + "}:"
	return keys{p, p + "log", p + "epochs", p + "floor", p + "nodes", p + "heard"}
}

// Open returns the log of a hub. It does not wait for a server. An error is about the options.
func Open(hub string, o Options) (*Broker, error) {
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = DefaultMaxEvents
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	keys := keysOf(hub)
	e.probe = keys.log
	b := &Broker{options: o, logger: o.Logger.With("hub", hub), keys: keys, token: rand.Text()[:12], main: newLink(e), tail: newLink(e)}
	b.closed, b.close = context.WithCancel(context.Background())
	return b, nil
}

// enter begins a call: its context ends with the broker too. No call begins after Close.
func (b *Broker) enter(ctx context.Context) (context.Context, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Err() != nil {
		return nil, nil, broker.ErrClosed
	}
	b.work.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.closed, cancel)
	return ctx, func() { stop(); cancel(); b.work.Done() }, nil
}

// Close implements broker.Broker.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.close()
	b.mu.Unlock()
	b.work.Wait()
	b.main.close()
	b.tail.close()
	return nil
}

// open gives the log an epoch, if it has none.
func (b *Broker) open(ctx context.Context, l *link) error {
	_, err := l.exec(ctx, openScript, []string{b.keys.epochs}, []string{newEpoch()})
	return err
}

func newEpoch() string { return strconv.FormatUint(broker.NewEpoch(), 36) }

// Resolve implements broker.Broker.
func (b *Broker) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return broker.Unknown, err
	}
	defer done()
	if p.IsZero() {
		return broker.Unknown, nil
	}
	v, err := b.view(ctx, b.main, p, "XRANGE", "+", "+", 0)
	if err != nil {
		return broker.Unknown, unavailable(err)
	}
	return v.standing(p), nil
}

// Read implements broker.Broker.
func (b *Broker) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if standing, err := b.Resolve(ctx, upTo); err != nil {
		return nil, err
	} else if err := unreadable(standing); err != nil && standing != broker.Trimmed {
		return nil, err
	}
	var entries []broker.Entry
	for {
		if after.IsZero() {
			return nil, broker.ErrUnknown
		}
		v, err := b.view(ctx, b.main, after, "XRANGE", "("+idOf(after).String(), idOf(upTo).String(), limit-len(entries))
		if err != nil {
			return nil, unavailable(err)
		}
		if err := unreadable(v.standing(after)); err != nil {
			return nil, err
		}
		for _, raw := range v.page {
			e, err := raw.entry(v.epochs)
			after = e.Position
			if err != nil && e.Err == nil {
				continue
			}
			e.Record.Time = b.clock.Correct(e.Record.Time)
			entries = append(entries, e)
		}
		if len(v.page) == 0 || len(entries) >= limit || after == upTo {
			return entries, nil
		}
	}
}

// unreadable returns why entries after a position cannot be read; nil if they can.
func unreadable(s broker.Standing) error {
	switch s {
	case broker.Exact:
		return nil
	case broker.Trimmed:
		return broker.ErrTrimmed
	case broker.Lost:
		return broker.ErrLost
	}
	return broker.ErrUnknown
}

var _ interface {
	broker.Broker
	broker.Roster
} = (*Broker)(nil)
