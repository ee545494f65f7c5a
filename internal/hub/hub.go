package hub

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"runtime"
	"slices"
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
	*common
	Rules
	Name string
	// Closed is called when a stream has ended, with the reason, which is nil if the hub ended it. It may be nil, and is set
	// before the first Subscribe. That of a hub is called for its companions as well.
	Closed func(*Conn, error)

	broker     broker.Broker
	window     *window
	fresh      []*entry // for sink.Deliver, which empties it
	shards     []*shard
	next       atomic.Uint32 // counts connections, to spread them over shards
	began      time.Time
	topicCache topicCache

	taps taps

	heeded    atomic.Uint64 // the node has heeded everything up to this place of the window
	additions additions
	keeper    keeper
	chatter   chatter
	revoked   atomic.Pointer[func(user string)]
	archive   archive
	nodes     *nodes // nil if there can be no other nodes, and of a companion
	who       *attendance

	ready  chan struct{} // closed when the window has been filled from the log's past
	ctx    context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup
	guests sync.WaitGroup        // what protocols run
	state  atomic.Pointer[error] // why the broker cannot be read, or nil
	intake intake
	expiry *time.Timer // trims the window by age

	published  atomic.Uint64
	appendedMu sync.Mutex
	appended   broker.Position // the newest position that was published here
}

// common is what a hub shares with its companions. Its limits and counts are those of all their connections together.
type common struct {
	main *Hub // the hub that the others accompany

	admission     admission
	memory        memory
	repertoire    repertoire
	pendingBudget atomic.Int64 // bytes, per connection
	denials       denials
	probes        probes
	stats         stats

	circle circle
}

// newCommon returns what a hub without companions has.
func newCommon(h *Hub) *common {
	c := &common{main: h, stats: newStats()}
	c.admission.seed = maphash.MakeSeed()
	c.circle.all.Store(&[]*Hub{h})
	return c
}

// accompanies reports whether the hub is a companion.
func (h *Hub) accompanies() bool { return h != h.main }

// all returns the hubs whose connections this one answers for: itself and its companions.
func (h *Hub) all() []*Hub {
	if h.accompanies() {
		return []*Hub{h}
	}
	return *h.circle.all.Load()
}

// everyShard ranges over the shards of the hub and of its companions.
func (h *Hub) everyShard() iter.Seq[*shard] {
	return func(yield func(*shard) bool) {
		for _, one := range h.all() {
			for _, s := range one.shards {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// circle has a hub and its companions.
type circle struct {
	mu     sync.Mutex             // held to replace the list, which is never changed in place
	all    atomic.Pointer[[]*Hub] // the main hub comes first
	closed bool
}

// close returns the hubs to be closed, the main one last. There will be no more.
func (c *circle) close() []*Hub {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	all := slices.Clone(*c.all.Load())
	slices.Reverse(all)
	return all
}

// New starts a hub on a broker, which it owns from then on.
func New(name string, b broker.Broker, s Settings) *Hub {
	h := newHub(name, b, s.History)
	h.common = newCommon(h)
	h.admission.who = h.who
	if d, ok := b.(broker.Directory); ok {
		h.nodes = newNodes(h, d)
	}
	h.Configure(s)
	h.run()
	return h
}

// newHub returns a hub that does not run yet, and shares nothing.
func newHub(name string, b broker.Broker, history History) *Hub {
	h := &Hub{Name: name, broker: b, window: newWindow(history), ready: make(chan struct{}), began: time.Now()}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.topicCache.seed = maphash.MakeSeed()
	h.archive.hub = h
	h.additions.window, h.additions.asked = h.window, uint64(pastEntries(history.Events))
	h.keeper.hub, h.keeper.poked = h, make(chan struct{}, 1)
	_, h.archive.empty = b.(broker.Forgetful)
	h.expiry = time.AfterFunc(time.Hour, h.expire)
	h.who = newAttendance(h.ctx, h)
	h.window.redundant = h.who.heard
	return h
}

// run starts the hub's work.
func (h *Hub) run() {
	ctx := h.ctx
	for range runtime.GOMAXPROCS(0) {
		sh := newShard(h)
		h.shards = append(h.shards, sh)
		h.done.Go(sh.run)
	}
	h.done.Go(func() {
		h.nodes.attempted(ctx)
		if err := h.broker.Tail(ctx, int(h.additions.asked), (*sink)(h)); err != nil && ctx.Err() == nil {
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
}

// Configure applies settings to a running hub. Of those for a companion, only the history counts.
func (h *Hub) Configure(s Settings) {
	h.window.configure(s.History)
	if !h.accompanies() {
		h.pendingBudget.Store(s.Limits.Pending)
		h.memory.configure(s.Limits.Memory)
		h.admission.configure(s.Limits)
		h.intake.presents(s.Presence.Topic)
		h.who.configure(s.Presence)
	}
	h.expire()
}

// Close ends every stream, and closes the broker and the companions. Writers that are still at work end on their own.
func (h *Hub) Close() error {
	h.admission.close()
	h.Each(func(c *Conn) { c.End(Draining, 0) })
	var errs []error
	for _, one := range h.circle.close() {
		errs = append(errs, one.shut())
	}
	return errors.Join(errs...)
}

// shut ends the hub's work, and closes its broker.
func (h *Hub) shut() error {
	h.stop()
	for _, s := range h.shards {
		s.close()
	}
	h.archive.close()
	h.nodes.close()
	h.nodes.wait()
	h.who.work.Wait()
	h.keeper.wait()
	h.guests.Wait()
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
	for s := range h.everyShard() {
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

// Each calls visit for every connection, including those of companions. It may miss those that come or go meanwhile. It holds a
// shard's lock only while it copies the shard's list.
func (h *Hub) Each(visit func(*Conn)) {
	for s := range h.everyShard() {
		for _, c := range s.list(broker.Target{Kind: broker.Broadcast}) {
			visit(c)
		}
	}
}

// Tap opens a tap. The caller must Close it.
func (h *Hub) Tap(f TapFilter) *Tap { return h.taps.open(f) }
