package subscription

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// Registry has the subscriptions at one path of a hub. It lives beside the hub, and outlives configs.
type Registry struct {
	hub  *pool.Hub
	base *matcher.Base
	root string // the path of all subscriptions
	node node
	wake chan struct{}

	interestMu sync.Mutex // guards audience; may be held for long, and is taken before mu
	audience   audience

	mu          sync.Mutex // guards all below, and Subscriber.open; held for a few lines
	subscribers map[string]*Subscriber
	parted      map[interest]int // those of clients that have left the audience, which does not know yet
	queue       []change
	kept        int // of queue, when it was last tidied
	log         logged
}

// change is a subscriber that has come or gone, or whose subscriptions are to be told anew.
type change struct {
	*Subscriber
	kind     changeKind
	subjects map[subject]bool // of renewed: the others are left out
}

type changeKind uint8

const (
	came changeKind = iota
	left
	renewed // those of subjects that the log does not have
	aged    // those that the log has, in a place that a new node cannot read
	doubted // those that the log has not, though it had
)

// Of returns the registry of a hub for a path, with the base of the hub's URL; nil if the hub is about to end.
func Of(theHub *pool.Hub, path string, base *matcher.Base) *Registry {
	r, _ := theHub.Resident("mercure subscriptions "+path, func(*pool.Hub) pool.Resident { return open(theHub, path+"/subscriptions", base) }).(*Registry)
	return r
}

func open(theHub *pool.Hub, root string, base *matcher.Base) *Registry {
	r := &Registry{
		hub: theHub, base: base, root: root, wake: make(chan struct{}, 1),
		subscribers: map[string]*Subscriber{}, parted: map[interest]int{}, audience: newAudience(root), log: newLogged(),
	}
	if name := theHub.NodeName(); name != "" {
		r.node = nodeNamed(name)
	} else {
		var b [6]byte
		rand.Read(b[:])
		r.node = nodeFrom(b[:])
	}
	theHub.OnNotices(root+"/", r.heard)
	theHub.Go(r.run)
	return r
}

// Root returns the path of all subscriptions.
func (r *Registry) Root() string { return r.root }

// Enter returns the Subscriber of a client that is about to subscribe to topics. From then on whatever it is interested in is told. unsure
// says that this was not so before, so that a client that comes back may have missed something. Leave has to be called in the end.
func (r *Registry) Enter(v access.Version, topics *matcher.Set, g *access.Grant) (s *Subscriber, unsure bool) {
	s = &Subscriber{id: r.node.newID(), version: v, topics: topics, grant: g, interests: interests(r.root, topics, g.Subscriptions())}
	return s, r.enter(s.interests, true)
}

// Ask has what the bearer of a grant may hear told from now on, for a while.
func (r *Registry) Ask(g *access.Grant) {
	r.enter(interests(r.root, matcher.NewSet(matcher.Any), g.Subscriptions()), false)
}

func (r *Registry) enter(list []interest, stays bool) (unsure bool) {
	if len(list) == 0 {
		return false
	}
	r.interestMu.Lock()
	defer r.interestMu.Unlock()
	unsure = r.audience.enter(list, stays, time.Now())
	if len(r.audience.fresh) > 0 {
		r.poke()
	}
	return unsure
}

// Open tells that the stream of a client has begun.
func (r *Registry) Open(s *Subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.open = true
	r.subscribers[s.id] = s
	r.enqueue(change{Subscriber: s, kind: came})
}

// Leave tells that the stream of a client has ended, or has not begun.
func (r *Registry) Leave(s *Subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range s.interests { // the audience's lock may be held for long, and this may be a writer of many streams
		r.parted[i]++
	}
	if s.open {
		s.open = false
		delete(r.subscribers, s.id)
		r.enqueue(change{Subscriber: s, kind: left})
	}
}

// enqueue has a change told. The caller holds mu. Before the queue doubles, it is rid of subscribers that have come and gone since: so
// it is bounded by the subscribers that there are, and those that the teller has taken, however long the teller waits for the log.
func (r *Registry) enqueue(c change) {
	if len(r.queue) >= 2*r.kept+1024 {
		r.queue = slices.DeleteFunc(r.queue, func(c change) bool { return !c.open && (c.kind != left || !c.taken) })
		r.kept = len(r.queue)
	}
	r.queue = append(r.queue, c)
	r.poke()
}

func (r *Registry) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// heard is called with each update about subscriptions, in the order of the log.
func (r *Registry) heard(e *broker.Entry) {
	u, ok := readUpdate(r.root, e)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.log.hear(u) {
		return
	}
	if own := r.subscribers[u.Subscriber]; own != nil && !u.active { // another node took this one to be gone
		r.enqueue(change{Subscriber: own, kind: doubted})
	}
}

// learn reads what the log's past says.
func (r *Registry) learn(ctx context.Context) {
	_ = r.hub.Past(ctx, func(e *broker.Entry) { // if it cannot be read, what comes counts
		if u, ok := readUpdate(r.root, e); ok {
			r.mu.Lock()
			r.log.apply(u)
			r.mu.Unlock()
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.learned()
}

// Apply implements pool.Resident.
func (*Registry) Apply([]pool.Route) {}

// Forget implements pool.Resident.
func (*Registry) Forget(string) {}

// Close implements pool.Resident. The registry goes on until the hub is closed, as streams have yet to end.
func (*Registry) Close() {}

// run tells changes until the hub is closed.
func (r *Registry) run(ctx context.Context) {
	r.learn(ctx)
	t := teller{Registry: r, subjects: map[subject]*standing{}, probe: r.node.newID()}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			t.tell(last)
			return
		case <-r.wake:
		case now := <-tick.C:
			t.look(ctx, now)
		}
		t.tell(ctx)
	}
}
