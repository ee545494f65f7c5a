package hub

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Settings can be changed while a hub runs.
type Settings struct {
	History  History
	Limits   Limits
	Presence Presence
}

// History bounds the window. Whichever bound is reached first trims it.
type History struct {
	Events int
	Age    time.Duration
	Bytes  int64
}

// Hub is a set of connections, and the log that they hear. Its methods may be called from several goroutines at once.
type Hub struct {
	Name string
	// Closed is called when a stream has ended, with the reason, which is nil if the hub ended it. It may be nil, and is set
	// before the first Subscribe.
	Closed func(*Conn, error)

	broker     broker.Broker
	window     *window
	fresh      []*entry // for sink.Deliver, which empties it
	shards     []*shard
	next       atomic.Uint32 // counts connections, to spread them over shards
	began      time.Time
	topicCache topicCache

	pendingBudget atomic.Int64 // bytes, per connection
	memory        memory

	admission admission
	stats     stats
	taps      taps

	heeded    atomic.Uint64 // the node has heeded everything up to this place of the window
	denials   denials
	additions additions
	keeper    keeper
	chatter   chatter
	probes    probes
	revoked   atomic.Pointer[func(user string)]
	archive   archive
	nodes     *nodes // nil if there can be no other nodes
	who       *attendance

	ready  chan struct{} // closed when the window has been filled from the log's past
	stop   context.CancelFunc
	done   sync.WaitGroup
	state  atomic.Pointer[error] // why the broker cannot be read, or nil
	intake intake
	expiry *time.Timer // trims the window by age

	published  atomic.Uint64
	appendedMu sync.Mutex
	appended   broker.Position // the newest position that was published here
}

// New starts a hub on a broker, which it owns from then on.
func New(name string, b broker.Broker, s Settings) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &Hub{Name: name, broker: b, window: newWindow(s.History), stats: newStats(), ready: make(chan struct{}), stop: stop}
	h.began, h.topicCache.seed, h.admission.seed = time.Now(), maphash.MakeSeed(), maphash.MakeSeed()
	h.archive.hub, h.archive.ctx = h, ctx
	h.additions.window, h.additions.asked = h.window, uint64(pastEntries(s.History.Events))
	h.keeper.hub, h.keeper.poked = h, make(chan struct{}, 1)
	_, h.archive.empty = b.(broker.Forgetful)
	h.expiry = time.AfterFunc(time.Hour, h.expire)
	h.who = newAttendance(ctx, h)
	h.admission.who, h.window.redundant = h.who, h.who.heard
	if d, ok := b.(broker.Directory); ok {
		h.nodes = newNodes(h, d)
	}
	h.Configure(s)
	for range runtime.GOMAXPROCS(0) {
		sh := newShard(h)
		h.shards = append(h.shards, sh)
		h.done.Go(sh.run)
	}
	h.done.Go(func() {
		h.nodes.attempted(ctx)
		if err := b.Tail(ctx, int(h.additions.asked), (*sink)(h)); err != nil && ctx.Err() == nil {
			h.state.Store(&err)
		}
	})
	if h.nodes != nil {
		go h.nodes.run(ctx)
	}
	if !h.archive.empty { // without a log, no other node and no later process can learn of additions
		h.keeper.done = make(chan struct{})
		go h.keeper.run(ctx)
	}
	return h
}

// Configure applies settings to a running hub.
func (h *Hub) Configure(s Settings) {
	h.pendingBudget.Store(s.Limits.Pending)
	h.memory.configure(s.Limits.Memory)
	h.window.configure(s.History)
	h.admission.configure(s.Limits)
	h.intake.presents(s.Presence.Topic)
	h.who.configure(s.Presence)
	h.expire()
}

// Close ends every stream, and closes the broker. Writers that are still at work end on their own.
func (h *Hub) Close() error {
	h.admission.close()
	h.Each(func(c *Conn) { c.End(nil) })
	h.stop()
	for _, s := range h.shards {
		s.close()
	}
	h.archive.close()
	h.nodes.close()
	h.nodes.wait()
	h.who.work.Wait()
	h.keeper.wait()
	err := h.broker.Close()
	h.done.Wait()
	h.expiry.Stop()
	return err
}

// expire trims the window by age, and sets the timer for the next entry.
func (h *Hub) expire() {
	now := time.Now()
	if next := h.window.expire(now); !next.IsZero() {
		h.expiry.Reset(max(next.Sub(now), time.Millisecond))
	}
}

// Publish appends records to the log. It returns when the broker has them, and never waits for a client.
func (h *Hub) Publish(ctx context.Context, records []broker.Record) []broker.Result {
	results := h.append(ctx, records)
	var stored uint64
	for _, r := range results {
		if r.Err == nil && !r.Repeated {
			stored++
		}
	}
	h.published.Add(stored)
	return results
}

// append stores records, and records the newest position.
func (h *Hub) append(ctx context.Context, records []broker.Record) []broker.Result {
	results := h.broker.Append(ctx, records)
	h.appendedMu.Lock()
	defer h.appendedMu.Unlock()
	for _, r := range results {
		if r.Err == nil && (h.appended.Epoch != r.Position.Epoch || h.appended.Compare(r.Position) < 0) {
			h.appended = r.Position
		}
	}
	return results
}

// Position returns the end of the log, which is at or after everything that was published here before.
func (h *Hub) Position(ctx context.Context) (broker.Position, error) {
	if err := h.settle(ctx); err != nil {
		return broker.Position{}, err
	}
	_, p, _ := h.window.end()
	return p, nil
}

// ErrNotReady: the hub has not yet heard from its broker, or no longer does.
var ErrNotReady = errors.New("the hub is not ready")

// Health returns nil if all events flow, and otherwise why not.
func (h *Hub) Health() error {
	if err := h.Available(); err != nil {
		return err
	}
	if err := h.intake.tooNew(h.window); err != nil {
		return fmt.Errorf("clients were told of a gap, as this node is too old for what another one publishes: %w", err)
	}
	return nil
}

// Available returns nil if the broker can be read, and otherwise why not.
func (h *Hub) Available() error {
	if err := h.state.Load(); err != nil {
		return *err
	}
	select {
	case <-h.ready:
		return nil
	default:
		return ErrNotReady
	}
}

// Lag returns how many bytes of events have yet to be taken to connections, by the shard that is furthest behind. A slow client
// does not add to it.
func (h *Hub) Lag() (most int64) {
	for _, s := range h.shards {
		s.qmu.Lock()
		most = max(most, s.bytes)
		s.qmu.Unlock()
	}
	return most
}

// settle waits until the window holds everything that was published here. A client that connects after its publish was answered
// must not get that event as news.
func (h *Hub) settle(ctx context.Context) error {
	select {
	case <-h.ready: // without ctx.Done, which may start a timer
	default:
		select {
		case <-h.ready:
		case <-ctx.Done():
			return ErrNotReady
		}
	}
	h.appendedMu.Lock()
	p := h.appended
	h.appendedMu.Unlock()
	if p.IsZero() {
		return nil
	}
	return h.reach(ctx, p)
}

// reach waits until the window's end is at or after p. It does not wait for a life of the log other than that of the window's
// end: a life that was lost may never come, and Subscribe must not wait for it.
func (h *Hub) reach(ctx context.Context, p broker.Position) error {
	for {
		_, end, grown := h.window.end()
		if end.Epoch != p.Epoch || end.Compare(p) >= 0 {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ErrNotReady
		}
	}
}

// Each calls visit for every connection. It may miss those that come or go meanwhile. It holds a shard's lock only while it
// copies the shard's list.
func (h *Hub) Each(visit func(*Conn)) {
	for _, s := range h.shards {
		for _, c := range s.list(broker.Target{Kind: broker.Broadcast}) {
			visit(c)
		}
	}
}

// Tap opens a tap. The caller must Close it.
func (h *Hub) Tap(f TapFilter) *Tap { return h.taps.open(f) }
