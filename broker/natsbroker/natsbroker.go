// Package natsbroker keeps a hub's log in a JetStream stream, shared by all nodes that use the same servers.
//
// Each record is one message. Every node reads the stream by a consumer of its own, which it makes anew after
// each break, at an explicit sequence number, and only once it has proved that the stream is still the one it
// was: same first epoch, not shorter than before, and the same message where the node had come to.
//
// # Positions
//
// The epoch is drawn when the stream is made, and kept in its description. Minor is the sequence number, and Check is a checksum of the
// message, so that two messages which had the same number in two lives of the stream are told apart. A Check of
// 0 stands for a number whose message was gone already when the position was handed out.
//
// A server that was put back to an older state hands numbers out again. The first node to notice publishes a
// marker: a message with which a new epoch begins for every node, at the same place. It is noticed by a tail whose last
// message is gone, and by a node whose publish was acknowledged and is not there.
//
// # Caveats
//
// JetStream answers a publish before it is on the disk, and syncs every two minutes unless its configuration
// says `sync_interval: always`: until then a crash of the machine, other than one of the process, may take what
// was acknowledged. With replicas on several machines it takes a crash of most of them.
//
// A message must fit into the server's max_payload, 1 MiB by default, headers included.
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

// KeyWindow is how long an idempotency key is remembered. Where Options.MaxAge is less, it is that.
const KeyWindow = 10 * time.Minute

// Options say where a log is, and what is kept of it.
type Options struct {
	Servers []string      // URLs
	Connect []nats.Option // credentials and TLS
	Prefix  string        // what the names of streams and subjects begin with; "" is "sse_push"

	// Bounds of the stream: its oldest messages go where one is passed. 0 leaves a bound as it is, in a new
	// stream as Open's documentation says.
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
	junk   seldom     // messages that are no records
	newer  seldom     // and those of newer versions
	clock  broker.Clock
	nodes  nodes
}

// Open returns the log of a hub, and connects to a server in the background. A stream that does not exist yet is
// made: without bounds in Options it keeps 1,000,000 messages, and those for as long as it takes.
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

// within bounds ctx by the broker's life, and by a time if that is not 0.
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

// unavailable wraps why the engine cannot be used.
func unavailable(doing string, cause error) error {
	return fmt.Errorf("%w: %s: %w", broker.ErrUnavailable, doing, cause)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkOf is a message's checksum, never 0. It tells two messages apart even where the app sent the same twice:
// each holds the time at which it was appended.
func checkOf(body []byte) uint32 { return max(crc32.Checksum(body, castagnoli), 1) }

// seldom counts what may be many, and is logged once a minute.
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

// passOver notes a message that cannot be read.
func (b *Broker) passOver(seq uint64, err error) {
	b.junk.note(b, slog.LevelWarn, "passing over messages that are no events", seq, err)
}

var (
	_ broker.Broker = (*Broker)(nil)
	_ broker.Roster = (*Broker)(nil)
)
