// Package natsbroker keeps a hub's log in a JetStream stream, shared by all nodes that use the same servers.
//
// Each record is one message. Every node reads the stream by a consumer of its own. After each break it makes a new
// consumer, at an explicit sequence number, once it has checked that the stream is still the same: it has the same
// first epoch, is not shorter than before, and has the same message at the node's place.
//
// # Positions
//
// The epoch is drawn when the stream is made, and kept in its description. Minor is the sequence number. Check is a
// checksum of the message, which tells two messages apart that have the same number in two lives of the stream. A Check
// of 0 stands for a number whose message was already gone when the position was handed out.
//
// A server that is put back to an older state gives out the same numbers again. A tail whose last message is gone
// notices that, and so does a node whose publish was acknowledged and is not there. The first node to notice publishes a
// mark: a message with which a new epoch begins for every node, at the same place.
//
// # Caveats
//
// JetStream acknowledges a publish before the message is on the disk, and syncs every two minutes unless its
// configuration says `sync_interval: always`. Until then, a crash of the machine may lose acknowledged messages; a crash
// of the server process alone does not. With replicas on several machines, most of them have to crash.
//
// A message, with its headers, must fit into the server's max_payload, which is 1 MiB by default.
package natsbroker

import (
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/ledger"
)

// KeyWindow is how long an idempotency key is remembered, unless Options.MaxAge is less.
const KeyWindow = 10 * time.Minute

// Options say where a log is and how much it keeps.
type Options struct {
	Servers []string      // URLs
	Connect []nats.Option // credentials and TLS
	Prefix  string        // begins the names of streams and subjects; "" is "sse_push"

	// Limits of the stream, which removes its oldest messages when one is exceeded. 0 leaves a limit as it is; for a
	// new stream see Open.
	MaxEvents int64
	MaxAge    time.Duration
	MaxBytes  int64
	Replicas  int

	Logger *slog.Logger
}

// Broker is a log in a JetStream stream.
type Broker struct {
	options Options
	names   names
	logger  *slog.Logger

	closing context.Context // done once Close was called
	close   context.CancelFunc
	work    sync.WaitGroup // what Close waits for

	link   link
	acks   acks
	ledger ledger.Ledger
	life   atomic.Pointer[life]
	lifeMu sync.Mutex // held to change life
	junk   seldom     // messages that are not records
	newer  seldom     // messages of newer versions
	clock  broker.Clock
	nodes  nodes
}

// Open returns the log of a hub, and connects to a server in the background. It makes the stream if there is none.
// Without limits in Options, a new stream keeps 1,000,000 messages of any age.
func Open(hub string, o Options) *Broker {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	b := &Broker{options: o, names: namesOf(o.Prefix, hub), logger: o.Logger.With("hub", hub)}
	b.closing, b.close = context.WithCancel(context.Background())
	b.link.changed = make(chan struct{})
	b.acks.waiting = map[string]waiting{}
	b.nodes.known = map[string]*node{}
	b.work.Go(b.connect)
	return b
}

// Close implements broker.Broker.
func (b *Broker) Close() error {
	b.close()
	b.work.Wait()
	return nil
}

// within returns a context that also ends with the broker, and after a time unless that is 0.
func (b *Broker) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	stop := context.AfterFunc(b.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// unavailable wraps the reason why the engine cannot be used.
func unavailable(doing string, cause error) error {
	return fmt.Errorf("%w: %s: %w", broker.ErrUnavailable, doing, cause)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkOf returns a message's checksum, which is never 0. It differs even if an app sends the same event twice: each message
// holds the time of its append.
func checkOf(body []byte) uint32 { return max(crc32.Checksum(body, castagnoli), 1) }

// seldom counts events that may be many, and logs them once a minute.
type seldom struct {
	mu    sync.Mutex // guards all below
	count int
	next  time.Time // when it may be logged again
}

func (s *seldom) note(b *Broker, level slog.Level, text string, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if now := time.Now(); !now.Before(s.next) {
		s.next = now.Add(time.Minute)
		b.logger.Log(context.Background(), level, text, "stream", b.names.stream, "sequence", seq, "so_far", s.count, "error", err)
	}
}

// passOver notes a message that is skipped.
func (b *Broker) passOver(seq uint64, err error) {
	b.junk.note(b, slog.LevelWarn, "skipping messages that are not events", seq, err)
}

var (
	_ broker.Broker = (*Broker)(nil)
	_ broker.Roster = (*Broker)(nil)
)
