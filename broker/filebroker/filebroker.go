// Package filebroker is a durable log for one node: a directory of segments, which are appended to, checksummed, and
// removed one by one as they age. Acknowledged entries survive a crash of the process. If Options.Sync is Always, they
// survive a crash of the machine as well.
package filebroker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// Always syncs before an entry is acknowledged. Entries that arrive meanwhile share the next sync.
	Always time.Duration = 0
	// Never leaves writing to the disk to the system.
	Never time.Duration = -1

	// DefaultMaxBytes and DefaultMaxAge apply if Options has 0.
	DefaultMaxBytes = 1 << 30
	DefaultMaxAge   = 24 * time.Hour
	// MinMaxBytes is the least value of MaxBytes.
	MinMaxBytes = 1 << 20
)

// Options say how a log is kept.
type Options struct {
	// Sync is how often entries are synced to disk: Always, Never, or an interval. A crash of the machine loses
	// entries that were not synced. A crash of the process alone loses nothing.
	Sync time.Duration
	// MaxBytes is how many bytes of the disk the log may take, at least MinMaxBytes. When it is reached, the oldest
	// segment is removed: a 32nd of this, and at most 32 MiB. 0 is DefaultMaxBytes.
	MaxBytes int64
	// MaxAge is how long entries are kept. They may be kept up to a 32nd longer. 0 is DefaultMaxAge.
	MaxAge time.Duration
	// Logger takes messages about the state of the log. nil is slog.Default.
	Logger *slog.Logger

	segment int64                 // bytes of a segment; 0: depends on MaxBytes
	wrap    func(segFile) segFile // lets tests make a segment's file fail
	clock   func() moment         // the time; nil for the real one
}

// Broker is an open log. Brokers that open the same directory in this process share one log, so that a new hub can start
// while an old one still drains.
type Broker struct {
	log  *log
	life context.Context // done when the broker is closed
	end  context.CancelFunc
	once sync.Once
}

// open holds the logs of this process, by directory.
var open = struct {
	sync.Mutex
	logs map[string]*log
}{logs: map[string]*log{}}

// Open opens the log in a directory, and makes the directory if there is none. If the log is already open in this
// process, its options stay as they are. If it is open in another process, Open returns an error.
func Open(dir string, o Options) (*Broker, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	open.Lock()
	defer open.Unlock()
	l := open.logs[dir]
	if l == nil {
		if l, err = openLog(dir, o); err != nil {
			return nil, err
		}
		open.logs[dir] = l
	}
	l.users++
	b := &Broker{log: l}
	b.life, b.end = context.WithCancel(context.Background())
	return b, nil
}

// Append implements broker.Broker.
func (b *Broker) Append(ctx context.Context, records []broker.Record) []broker.Result {
	if b.life.Err() != nil { // other brokers may still have the log open
		return failed(records, broker.ErrClosed)
	}
	r := newRequest(records)
	select {
	case b.log.requests <- r:
	case <-b.life.Done():
		return failed(records, broker.ErrClosed)
	case <-ctx.Done():
		return failed(records, broker.ErrOverloaded)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		select {
		case <-r.done:
		default:
			return failed(records, broker.ErrUnknownOutcome)
		}
	}
	r.recycle()
	return r.results
}

func failed(records []broker.Record, err error) []broker.Result {
	results := make([]broker.Result, len(records))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// Tail implements broker.Broker.
func (b *Broker) Tail(ctx context.Context, last int, sink broker.Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.life, func() { cancel(broker.ErrClosed) })()
	b.log.tail(ctx, last, sink)
	return context.Cause(ctx)
}

// Read implements broker.Broker. If entries are large, it returns fewer than limit, but at least one.
func (b *Broker) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	newest, err := b.log.between(after, upTo)
	if err != nil || newest <= after.Minor || limit < 1 {
		return nil, err
	}
	entries, _, err := b.log.read(ctx, after.Minor+1, newest, limit)
	return entries, err
}

// Resolve implements broker.Broker.
func (b *Broker) Resolve(_ context.Context, p broker.Position) (broker.Standing, error) {
	return b.log.standing(p), nil
}

// Close implements broker.Broker.
func (b *Broker) Close() (err error) {
	b.once.Do(func() {
		b.end()
		open.Lock()
		defer open.Unlock()
		if b.log.users--; b.log.users == 0 {
			delete(open.logs, b.log.dir)
			err = b.log.close()
		}
	})
	return err
}

var errTooLarge = fmt.Errorf("%w: 64 MiB", broker.ErrTooLarge)

var _ broker.Broker = (*Broker)(nil)
