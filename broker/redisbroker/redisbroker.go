package redisbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Broker is a hub's log in Redis.
type Broker struct {
	options Options
	log     *slog.Logger
	keys    keys
	token   string // begins the token of each append of this node
	appends atomic.Uint64
	clock   clock
	acks    acks
	names   directory

	main *link // all but the tail, so that no publisher waits behind its pages
	tail *link

	closed context.Context
	close  context.CancelFunc
	work   sync.WaitGroup // calls in progress
	mu     sync.Mutex     // guards the beginning of calls against Close
}

// keys are the names of a hub's keys.
type keys struct{ prefix, log, epochs, floor, nodes string }

func keysOf(hub string) keys {
	if hub == "" {
		hub = "default"
	}
	// Braces would end the hash tag.
	p := "sse:{" + strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(hub) + "}:"
	return keys{p, p + "log", p + "epochs", p + "floor", p + "nodes"}
}

// Open returns the log of a hub. It waits for no server; what it cannot accept is in the options.
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	keys := keysOf(hub)
	e.probe = keys.log
	b := &Broker{options: o, log: o.Log.With("hub", hub), keys: keys, token: rand.Text()[:12], main: newLink(e), tail: newLink(e)}
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

// view reads a part of the log, and checks the entry of p, if p is not zero.
func (b *Broker) view(ctx context.Context, l *link, p broker.Position, command, from, to string, most int) (view, error) {
	check := ""
	if !p.IsZero() {
		check = idOf(p).String()
	}
	sent := time.Now()
	m, err := l.read(ctx, viewScript, []string{b.keys.log, b.keys.epochs, b.keys.floor},
		[]string{check, command, from, to, strconv.Itoa(most), pageBytes})
	if err != nil {
		return view{}, err
	}
	v, err := parseView(m)
	if err == nil {
		b.clock.observe(sent, v.now)
	}
	return v, err
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
			if err != nil && !errors.Is(err, broker.ErrNewer) {
				continue
			}
			b.clock.correct(&e.Record)
			entries = append(entries, e)
		}
		if len(v.page) == 0 || len(entries) >= limit || after == upTo {
			return entries, nil
		}
	}
}

// unreadable says why what is behind a position cannot be read.
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

// clock is how far Redis' clock is ahead of this node's. Records carry Redis' time, so that nodes whose clocks differ
// agree on what has outlived its TTL.
type clock struct {
	skew   time.Duration // for tests: by how much this node's clock is wrong
	known  atomic.Bool
	offset atomic.Int64 // a time.Duration
}

// observe takes Redis' time, in milliseconds, of an answer that has just come.
func (c *clock) observe(sent time.Time, ms int64) {
	took := time.Since(sent)
	if took > time.Second && c.known.Load() {
		return // nobody knows when in between it was
	}
	c.offset.Store(int64(time.UnixMilli(ms).Sub(sent.Add(took/2 + c.skew))))
	c.known.Store(true)
}

// ahead leaves out differences that are none: a node in step with Redis shows the same times as every other.
func (c *clock) ahead() time.Duration {
	if d := time.Duration(c.offset.Load()); d.Abs() > time.Second {
		return d
	}
	return 0
}

// local is this node's time.
func (c *clock) local() time.Time { return time.Now().Add(c.skew) }

// now is Redis' time.
func (c *clock) now() time.Time { return c.local().Add(c.ahead()) }

// correct makes the record's time one of this node's clock.
func (c *clock) correct(r *broker.Record) {
	if !r.Time.IsZero() {
		r.Time = r.Time.Add(-c.ahead())
	}
}

var _ interface {
	broker.Broker
	broker.Directory
} = (*Broker)(nil)
