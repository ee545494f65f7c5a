package hub

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// keeper repeats in the log what was added to living connections, before the history loses it: other nodes, and this one after
// a restart, learn of it only from there. It does so for connections whose clients keep their ids, as no other client comes
// back with the same one.
type keeper struct {
	hub    *Hub
	conns  atomic.Int64  // connections that have additions
	oldest atomic.Uint64 // the place of the oldest record that one of them depends on, or an older place
	poked  chan struct{}
	done   chan struct{} // closed when run has ended; nil if it was not started

	marked uint64 // the end of the window when the last incomplete repetition was appended

	mu       sync.Mutex // guards all below
	adopted  []adoption // adoptions that have yet to be appended
	overflow bool       // adoptions were dropped, as there were too many
}

// adoption is a topic that was added to a user, and so to a connection. The log has to say so of the connection as well, or it
// could not be known later which clients were connected when the topic was added.
type adoption struct {
	id    string
	topic string
	since broker.Position
}

const (
	// keeperPause is the least time between two rounds.
	keeperPause = 10 * time.Millisecond
	// keptTargets is the most connections that one record repeats additions of.
	keptTargets = 500
	// maxAdopted bounds the adoptions that wait.
	maxAdopted = 10_000
)

// keep notes that the connection has additions, which depend on records of the log. The caller holds mu.
func (s *shard) keep(c *Conn) {
	if !c.named || c.place == gone {
		return
	}
	k := &s.hub.keeper
	for i := range c.extra.topics {
		if a := &c.extra.topics[i]; a.kept == 0 {
			a.kept = max(a.seq, s.cursor, 1)
			s.hub.additions.adopt(c.ID, *a)
			k.adopt(adoption{c.ID, a.topic, a.pos})
		}
	}
	if s.hub.archive.empty {
		return
	}
	if _, ok := s.kept[c]; !ok {
		if s.kept == nil {
			s.kept = map[*Conn]struct{}{}
		}
		s.kept[c] = struct{}{}
		k.conns.Add(1)
		k.oldest.Store(0) // the next round finds the oldest
	}
	k.poke()
}

// unkeep notes that the connection has no more additions. The caller holds mu.
func (s *shard) unkeep(c *Conn) {
	if _, ok := s.kept[c]; ok {
		delete(s.kept, c)
		s.hub.keeper.conns.Add(-1)
	}
}

// adopt queues an adoption.
func (k *keeper) adopt(a adoption) {
	if k.hub.archive.empty {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.adopted) >= maxAdopted {
		k.overflow = true
		return
	}
	k.adopted = append(k.adopted, a)
}

// adoptions empties the queue. more reports whether some were dropped.
func (k *keeper) adoptions() (list []adoption, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, more = k.adopted, k.overflow
	k.adopted, k.overflow = nil, false
	return list, more
}

func (k *keeper) poke() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

// due reports whether an addition has aged, and has to be repeated.
func (k *keeper) due() bool {
	return k.conns.Load() > 0 && k.oldest.Load() <= k.hub.window.aged(time.Now())
}

// look is called when the log has grown.
func (k *keeper) look() {
	if k.due() {
		k.poke()
	}
}

// run repeats additions until ctx is done. Then it repeats what the log would not know after a restart.
func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	for ctx.Err() == nil {
		var tick <-chan time.Time
		if k.conns.Load() > 0 {
			tick = time.After(k.hub.window.eighth())
		}
		select {
		case <-ctx.Done():
			continue
		case <-k.poked:
		case <-tick:
		}
		k.round(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(keeperPause):
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportEvery)
	defer cancel()
	k.round(last)
}

// wait waits until run has ended.
func (k *keeper) wait() {
	if k.done != nil {
		<-k.done
	}
}

// eighth returns how often to look for additions that have aged: every eighth of the history's age, within bounds. They are
// repeated at half of it.
func (w *window) eighth() time.Duration {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return min(max(w.history.Age/8, time.Second), time.Minute)
}

// repetition is a record that repeats what was added to some connections at one position of the log.
type repetition struct {
	record broker.Record
	conns  []*Conn
	adopts []adoption
}

// repetitions has the repetitions of one round.
type repetitions struct {
	list  []*repetition
	byKey map[string]*repetition // those that have room for more targets
}

// of returns the repetition of topics that were added at a position, and creates it if there is none.
func (r *repetitions) of(topics []string, since broker.Position) *repetition {
	key := since.String() + "\x00" + strings.Join(topics, "\x00")
	one := r.byKey[key]
	if one == nil || len(one.record.Targets) == keptTargets {
		one = &repetition{record: broker.Record{Kind: broker.Join, Topics: topics, Since: since}}
		r.list, r.byKey[key] = append(r.list, one), one
	}
	return one
}

func (r *repetition) add(id string) {
	r.record.Targets = append(r.record.Targets, broker.Target{Kind: broker.Connection, Name: id})
}

// read sets the position up to which the log was read for the repetitions. A topic may have been taken away after it, and a
// node that begins in between must not believe that it is still there.
func (r *repetitions) read(p broker.Position) {
	for _, one := range r.list {
		if one.record.Read = p; p.IsZero() || len(one.adopts) > 0 { // the shard is far behind, or an adoption has waited
			one.record.Read = one.record.Since
		}
	}
}

// round repeats what is due.
func (k *keeper) round(ctx context.Context) {
	adopted, partial := k.adoptions()
	if len(adopted) == 0 && !partial && !k.due() {
		return
	}
	tail, _, _ := k.hub.window.end()
	r := &repetitions{byKey: map[string]*repetition{}}
	for _, a := range adopted {
		one := r.of([]string{a.topic}, a.since)
		one.adopts = append(one.adopts, a)
		one.add(a.id)
	}
	oldest, obeyed := k.collect(r, k.hub.window.aged(time.Now()))
	list := r.list
	r.read(k.hub.window.positionOf(obeyed))
	room, done := k.hub.chatter.reserve(k.hub.window, repetitionShare, len(list))
	defer done()
	if len(list) > room || partial {
		if room == 0 && tail < k.marked+k.hub.window.memory()/8 {
			list = nil // it was said not long ago that some are left out
		} else {
			k.marked = tail
			list = list[:min(max(room, 1), len(list))]
			if len(list) > 0 {
				list[len(list)-1].record.Partial = true
			}
		}
		oldest = 0
	}
	if !k.repeat(ctx, list, tail) {
		oldest = 0 // the next round tries again
	}
	k.oldest.Store(oldest)
	if oldest == 0 {
		time.AfterFunc(time.Second, k.poke)
	}
}

// repeat appends repetitions. It reports whether all are stored.
func (k *keeper) repeat(ctx context.Context, list []*repetition, tail uint64) (stored bool) {
	stored = true
	var last broker.Position
	for chunk := range slices.Chunk(list, 100) {
		records := make([]broker.Record, len(chunk))
		for i := range chunk {
			records[i] = chunk[i].record
		}
		for i, result := range k.hub.append(ctx, records) {
			if result.Err != nil {
				stored = false
				for _, a := range chunk[i].adopts {
					k.adopt(a)
				}
				continue
			}
			last = result.Position
			for _, c := range chunk[i].conns {
				c.keptSince(chunk[i].record.Since, tail)
			}
		}
	}
	if !last.IsZero() {
		_ = k.hub.reach(k.hub.who.ctx, last) // until then they count as reserved
	}
	return stored
}

// collect adds the additions that have aged to r. It returns the place of the oldest record that the others depend on, and the
// place up to which all shards have obeyed the log.
func (k *keeper) collect(r *repetitions, aged uint64) (oldest, obeyed uint64) {
	oldest, _, _ = k.hub.window.end()
	obeyed = oldest
	for _, s := range k.hub.shards {
		s.mu.Lock()
		obeyed = min(obeyed, s.cursor)
		for c := range s.kept {
			since := map[broker.Position][]string{}
			for _, a := range c.extra.topics {
				if a.kept <= aged && !c.ended {
					since[a.pos] = append(since[a.pos], a.topic)
				} else if !c.ended {
					oldest = min(oldest, a.kept)
				}
			}
			for p, topics := range since {
				slices.Sort(topics)
				one := r.of(topics, p)
				one.conns = append(one.conns, c)
				one.add(c.ID)
			}
		}
		s.mu.Unlock()
	}
	return oldest, obeyed
}

// keptSince notes that what was added to the connection at a position was repeated after a place.
func (c *Conn) keptSince(p broker.Position, seq uint64) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	for i := range c.extra.topics {
		if a := &c.extra.topics[i]; a.pos == p {
			a.kept = max(a.kept, seq)
		}
	}
}
