package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// name is that of the registry among the hub's residents, and of its log.
const name = pool.RelaysResident

// history bounds what is kept of all relays of a hub, for clients that come late, and for done. A relay is whole as long as it is
// known, and its begin is there to be found by a node that starts late.
var history = hub.History{Events: 1 << 20, Bytes: 256 << 20, Age: maxTimeout + kept}

// closeTimeout is how long the end of the process waits until the ends of relays are in the log.
const closeTimeout = 2 * time.Second

// Registry has the relays of a hub. It outlives configs.
type Registry struct {
	pool      *pool.Hub
	hub       *hub.Hub // the companion that reads the log
	directory broker.Directory
	node      string
	config    atomic.Pointer[Config] // in force; nil if it has no relays
	offered   atomic.Pointer[Config] // that is about to be put in force

	complaints problem.Complaints
	ctx        context.Context // ends with the registry
	stop       context.CancelFunc
	work       sync.WaitGroup // runs, calls of done, and keep
	caught     sync.Once
	ready      chan struct{} // closed when the log's past has been read
	poke       chan struct{} // there is something for keep to do
	leased     atomic.Int64  // when the lease was last renewed, in nanoseconds since 1970

	mu       sync.Mutex // guards all below
	index    index
	runs     map[string]*run // this node's
	starting map[string]int  // those of them that the log has yet to tell of, by user
	waiters  map[string]*waiter
	hearing  map[string]int     // listeners of each relay
	due      map[string]*errand // calls of done that this node makes
	totals   pool.RelayStats    // without what now runs
	closed   bool
}

// New returns the Config of a directive, which is put in force with all else of its hub. It is nil if the directive has no relays.
func New(s *Settings, ref *pool.Ref) (*Config, error) {
	if s == nil {
		return nil, nil
	}
	c, err := newConfig(s)
	if err != nil {
		return nil, err
	}
	c.superseded = ref.Superseded
	return c, ref.Beside(name, c.settings, func(p *pool.Hub) error {
		r, err := of(p)
		if err == nil {
			r.offered.Store(c)
		}
		return err
	})
}

// open starts the registry of a hub.
func open(p *pool.Hub) (*Registry, error) {
	b, err := p.OpenLog(name)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Registry{
		pool: p, node: rand.Text(), ctx: ctx, stop: stop, ready: make(chan struct{}), poke: make(chan struct{}, 1),
		index: newIndex(), runs: map[string]*run{}, starting: map[string]int{}, waiters: map[string]*waiter{}, hearing: map[string]int{}, due: map[string]*errand{},
		totals: pool.NewRelayStats(),
	}
	r.directory, _ = b.(broker.Directory)
	r.hub = p.Companion(p.Name+"."+name, newLog(b, r), history)
	r.hub.OnRevoke(r.revoked)
	r.work.Go(r.keep)
	return r, nil
}

// of returns the registry of a hub. It starts it if there is none.
func of(p *pool.Hub) (*Registry, error) {
	var err error
	resident := p.Resident(name, func(p *pool.Hub) pool.Resident {
		r, failed := open(p)
		if err = failed; err != nil {
			return nil
		}
		return r
	})
	if err != nil {
		return nil, fmt.Errorf("opening the log of relays: %w", err)
	}
	if resident == nil {
		return nil, hub.ErrNotReady
	}
	return resident.(*Registry), nil
}

// find returns the registry of a hub, or nil if the hub has had no relays so far.
func find(p *pool.Hub) *Registry {
	r, _ := p.FindResident(name).(*Registry)
	return r
}

// Apply implements pool.Resident: the config that was offered last is in force. Relays that it no longer allows are cancelled.
func (r *Registry) Apply([]pool.Route) {
	c := r.offered.Swap(nil)
	if old := r.config.Swap(c); old != nil && old != c {
		old.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.runs {
		if c == nil || !c.gate.Leads(x.call.request.URL) {
			x.cancel(errCancelled)
		}
	}
}

// Forget implements pool.Resident. What the app has said of a user is no part of a relay.
func (r *Registry) Forget(string) {}

// revoked ends the relays of a user whose streams are ended. Each node that runs some is told.
func (r *Registry) revoked(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.runs {
		if x.call.user == user {
			x.cancel(errRevoked)
		}
	}
}

// Close implements pool.Resident. What runs ends as interrupted.
func (r *Registry) Close() {
	var ended []string
	r.mu.Lock()
	r.closed = true
	for id, x := range r.runs {
		x.cancel(errInterrupted)
		ended = append(ended, id)
	}
	r.mu.Unlock()
	time.AfterFunc(closeTimeout, r.stop)
	r.runsOver()
	r.toldAll(ended)
	r.stop()
	r.work.Wait()
	r.endLease()
}

// runsOver waits until nothing runs, or the registry is stopped.
func (r *Registry) runsOver() {
	for {
		r.mu.Lock()
		var one *run
		for _, one = range r.runs {
			break
		}
		r.mu.Unlock()
		if one == nil {
			return
		}
		select {
		case <-one.over:
		case <-r.ctx.Done():
			return
		}
	}
}

// toldAll waits until nobody hears the relays any more, as their listeners have been told of the end, or the registry is stopped.
func (r *Registry) toldAll(ended []string) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		r.mu.Lock()
		over := !slices.ContainsFunc(ended, func(id string) bool { return r.hearing[id] > 0 })
		r.mu.Unlock()
		if over {
			return
		}
		select {
		case <-look.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// hears counts a listener of a relay that comes or goes.
func (r *Registry) hears(id string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hearing[id] += n; r.hearing[id] == 0 {
		delete(r.hearing, id)
	}
}

// see takes records of the log.
func (r *Registry) see(batch []broker.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		k := r.index.see(&batch[i])
		if k == nil {
			continue
		}
		x := r.runs[k.id]
		here := x != nil && k.Node == r.node
		switch {
		case k.end != Running:
			if here {
				x.cancel(errOver)
			}
			if batch[i].Record.Type == typeEnd && k.outcome.Node == r.node { // so that one node counts it
				r.totals.Ended[string(k.end)]++
			}
			r.plan(k)
		case here:
			r.seen(x)
		}
		if w := r.waiters[k.id]; w != nil {
			close(w.news)
			delete(r.waiters, k.id)
		}
	}
}

// seen has the index count a run from now on. The caller holds mu.
func (r *Registry) seen(x *run) {
	if x.seen {
		return
	}
	x.seen = true
	if r.starting[x.call.user]--; r.starting[x.call.user] <= 0 {
		delete(r.starting, x.call.user)
	}
}

// caughtUp notes that the log's past has been read.
func (r *Registry) caughtUp() { r.caught.Do(func() { close(r.ready) }) }

// nudge has keep look for work.
func (r *Registry) nudge() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// await waits until the log's past has been read, since a relay may have begun there.
func (r *Registry) await(ctx context.Context) error {
	select {
	case <-r.ready:
		return nil
	case <-r.ctx.Done():
	case <-ctx.Done():
	}
	return hub.ErrNotReady
}

// drop forgets a run that is over, or has not begun.
func (r *Registry) drop(x *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen(x)
	take(&r.totals, &x.counts)
	delete(r.runs, x.call.id)
	close(x.over)
	r.work.Done()
}

// knows reports whether the log has told of a relay that is still known.
func (r *Registry) knows(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.index.relays[id] != nil
}

// Stop implements pool.Relayer. It waits until the log has the relay's end.
func (r *Registry) Stop(ctx context.Context, id string) (bool, error) {
	if err := r.await(ctx); err != nil {
		return false, err
	}
	if !r.knows(id) { // another node may have begun it just now
		if err := r.sync(ctx, id); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	x := r.runs[id]
	r.mu.Unlock()
	if x != nil {
		x.cancel(errCancelled)
		select {
		case <-x.over:
		case <-ctx.Done():
			return true, hub.ErrNotReady
		}
	}
	r.mu.Lock()
	k := r.index.relays[id]
	if k == nil {
		r.mu.Unlock()
		return x != nil, nil
	}
	over := k.end != Running || x != nil && k.Node == r.node // otherwise another node runs it, even if this one was about to
	e, o := k.over(Cancelled), k.outcome
	r.mu.Unlock()
	if !over {
		o.Node = r.node
		if err := r.write(ctx, endRecords(e, o)); err != nil {
			return true, err
		}
	}
	if _, ok := r.wait(ctx, id, func(k *known) bool { return k.end != Running }); !ok {
		return true, hub.ErrNotReady
	}
	return true, nil
}

// sync waits until this node knows everything of a relay that the log has now: it writes something, and waits until that has come.
func (r *Registry) sync(ctx context.Context, id string) error {
	mark := record(beside+id, id, typeMark, "", struct{}{})
	mark.Key = ""
	result := r.hub.Publish(ctx, []broker.Record{mark})[0]
	if result.Err != nil {
		return result.Err
	}
	return r.hub.Taken(ctx, result.Position)
}

// write stores records that belong together. It returns the first error.
func (r *Registry) write(ctx context.Context, records []broker.Record) error {
	for _, result := range r.hub.Publish(ctx, records) {
		if result.Err != nil && !errors.Is(result.Err, broker.ErrKeyReused) {
			return result.Err
		}
	}
	return nil
}

func (r *Registry) log() *zap.Logger { return r.pool.Log() }
