package subscription

import (
	"context"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

const (
	// sweepEvery is how often a node looks for subscriptions of nodes that are gone.
	sweepEvery = 5 * time.Second
	// sweeps is how many times in a row a node must be missing to count as gone.
	sweeps = 2

	// audienceName begins the name of the version of a node's audience, and interestName those of its interests. The path follows.
	audienceName = broker.Brief + "audience "
	interestName = "interest "

	// maxPosted bounds the names of the interests that a node tells the others. Past that, it tells them that it wants everything.
	maxPosted, maxPostedBytes = 4000, 1 << 20
)

// teller publishes what a registry has to tell. It is used by one goroutine.
type teller struct {
	*Registry
	subjects map[subject]*standing // that subscribers of this node have; guarded by interestMu
	probe    string                // the id of a subscriber who does not exist

	pending  []broker.Record // that have yet to be stored
	failures int             // in a row, while the hub is available

	swept   time.Time
	missing map[node]int    // by node, how many times in a row it was missing
	nodes   map[string]int  // the versions of the other nodes' audiences
	learned time.Time       // when their interests were last read
	posted  map[string]bool // the interests that the others are told
	version int             // of those
}

// maxFailures is how often in a row a record may fail before it is given up, so that it does not keep back all others.
const maxFailures = 60

// tell publishes what is to be told, as far as there is room.
func (t *teller) tell(ctx context.Context) {
	t.part()
	for t.post(); ctx.Err() == nil; {
		if len(t.pending) == 0 {
			t.renew()
			if !t.next() {
				return
			}
		}
		stored, err := t.hub.Notify(ctx, t.pending)
		t.pending = t.pending[stored:]
		if t.failures++; err == nil || stored > 0 || t.hub.Available() != nil {
			t.failures = 0
		}
		if t.failures >= maxFailures {
			t.pending, t.failures = t.pending[1:], 0
		}
		if err != nil || len(t.pending) > 0 {
			return // there is more room later
		}
	}
}

// part takes those who have left out of the audience.
func (t *teller) part() {
	t.interestMu.Lock()
	defer t.interestMu.Unlock()
	t.mu.Lock()
	parted := t.parted
	t.parted = map[interest]int{}
	t.mu.Unlock()
	t.audience.leave(parted, time.Now())
}

// renew tells a new audience what is active: it queues the subscriptions that it hears of.
func (t *teller) renew() {
	t.interestMu.Lock()
	defer t.interestMu.Unlock()
	fresh := t.audience.fresh
	if t.audience.fresh = nil; len(fresh) == 0 {
		return
	}
	due := map[subject]bool{}
	for s, standing := range t.subjects {
		if standing.newTo(fresh) {
			due[s] = true
		}
	}
	if len(due) > 0 {
		t.requeue(change{kind: renewed, subjects: due})
	}
}

// requeue queues a change of all subscribers.
func (t *teller) requeue(c change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c.Subscriber = range t.subscribers {
		t.enqueue(c)
	}
}

// next takes some changes from the queue, and makes records of those that somebody is to be told of. It reports whether there were any
// changes.
func (t *teller) next() bool {
	n := 0
	for ; len(t.pending) < 256; n++ {
		t.mu.Lock()
		if len(t.queue) == 0 {
			t.queue, t.kept = nil, 0
			t.mu.Unlock()
			break
		}
		c := t.queue[0]
		t.queue[0] = change{}
		t.queue = t.queue[1:]
		over := c.kind != left && !c.open // its end is in the queue
		if c.kind == came && !over {
			c.taken = true
		}
		t.mu.Unlock()
		if !over && c.taken { // else it has come and gone, or comes later in the queue
			t.take(c)
		}
	}
	return n > 0
}

// take makes the records of a change.
func (t *teller) take(c change) {
	t.interestMu.Lock()
	defer t.interestMu.Unlock()
	if c.kind == came {
		t.count(c.Subscriber)
	}
	for _, m := range c.topics.Matchers() {
		s := subject{c.version, m}
		if c.kind != renewed || c.subjects[s] {
			t.one(c, s)
		}
	}
	if c.kind == left {
		t.discount(c.Subscriber)
	}
}

// count counts the subjects of a subscriber. The caller holds interestMu.
func (t *teller) count(c *Subscriber) {
	for _, m := range c.topics.Matchers() {
		s := subject{c.version, m}
		if t.subjects[s] == nil {
			t.subjects[s] = &standing{match: string(appendEncoded(nil, m.Text())), probe: s.by(t.probe, nil).topic(t.root)}
		}
		t.subjects[s].subscribers++
	}
}

// discount undoes count.
func (t *teller) discount(c *Subscriber) {
	for _, m := range c.topics.Matchers() {
		s := subject{c.version, m}
		if t.subjects[s].subscribers--; t.subjects[s].subscribers == 0 {
			delete(t.subjects, s)
		}
	}
}

// one makes the record of a change for one subject, if somebody is to be told. The caller holds interestMu.
func (t *teller) one(c change, s subject) {
	topic := s.by(c.id, nil).topic(t.root)
	if len(topic) > matcher.MaxText {
		return
	}
	t.mu.Lock()
	logged, known := t.log.known[topic]
	t.mu.Unlock()
	var due bool
	switch c.kind {
	case left:
		due = known || t.audience.hears(topic, t.subjects[s])
	case aged:
		due = known && !t.hub.Holds(logged.at)
	default:
		due = !known && t.audience.hears(topic, t.subjects[s])
	}
	if due {
		t.pending = append(t.pending, t.record(topic, s.by(c.id, c.grant), c.kind != left))
	}
}

// record returns the update about a subscription.
func (r *Registry) record(topic string, s *Subscription, active bool) broker.Record {
	record := broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Data: s.update(r.root, active)}
	if s.Version == access.V1 {
		record.Type = "mercure"
	}
	return record
}

// look looks after what time and other nodes bring about.
func (t *teller) look(ctx context.Context, now time.Time) {
	t.interestMu.Lock()
	t.audience.expire(now)
	if t.audience.compact() {
		for _, s := range t.subjects {
			s.tried, s.by = 0, nil
		}
	}
	t.interestMu.Unlock()
	t.learn(ctx, now)
	if now.Sub(t.swept) >= sweepEvery {
		t.swept = now
		t.sweep(ctx)
	}
}
