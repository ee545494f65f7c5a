package hub

import (
	"maps"
	"sync"
	"time"
)

// Stats has what a hub has counted since it began, and its present state.
type Stats struct {
	Traffic

	Published uint64 // events that this hub has stored
	Catchups  map[string]uint64
	Gaps      map[string]uint64
	Rejected  map[string]uint64
	Skipped   uint64 // records of the log that could not be read, or that no hub can have written

	Lag           int64 // see Hub.Lag
	HistoryEvents int
	HistoryBytes  int64
	Users         int
	Draining      bool
}

// Traffic is what each shard counts as it delivers, under its lock.
type Traffic struct {
	Delivered uint64 // events given to streams
	Bytes     uint64 // their size
	Coalesced uint64 // events not sent to a connection, as a newer one took their place
	Expired   uint64 // events not sent to a connection, as they had expired
	Delay     Delays
	Pending   int64       // bytes that wait for connections, shared frames counted for each
	Open      [4]struct { // connections, by major version of HTTP
		Held, Goroutine int
	}
}

// Delays is a histogram of the time between an event's append and its being given to a stream. Of the events that a writer
// takes together, only the oldest counts.
type Delays struct {
	Counts [len(DelayBounds) + 1]uint64 // by upper bound; the last counts delays above all bounds
	Sum    time.Duration
}

// DelayBounds are the upper bounds of Delays.Counts.
var DelayBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
}

func (d *Delays) observe(delay time.Duration) {
	delay = max(delay, 0) // the clock of another machine may be ahead
	i := 0
	for i < len(DelayBounds) && delay > DelayBounds[i] {
		i++
	}
	d.Counts[i]++
	d.Sum += delay
}

// passOver counts an entry that is no longer sent.
func (t *Traffic) passOver(e *entry) {
	if e.superseded.Load() {
		t.Coalesced++
	} else {
		t.Expired++
	}
}

// add adds the counts of another shard.
func (t *Traffic) add(o *Traffic) {
	t.Delivered += o.Delivered
	t.Bytes += o.Bytes
	t.Coalesced += o.Coalesced
	t.Expired += o.Expired
	for i, n := range o.Delay.Counts {
		t.Delay.Counts[i] += n
	}
	t.Delay.Sum += o.Delay.Sum
	t.Pending += o.Pending
	for i, n := range o.Open {
		t.Open[i].Held += n.Held
		t.Open[i].Goroutine += n.Goroutine
	}
}

// Add adds the counts of another hub: while a reload changes the broker, there are two of the same name.
func (s *Stats) Add(o Stats) {
	s.Traffic.add(&o.Traffic)
	s.Published += o.Published
	s.Skipped += o.Skipped
	for _, c := range []struct{ to, from map[string]uint64 }{
		{s.Catchups, o.Catchups}, {s.Gaps, o.Gaps}, {s.Rejected, o.Rejected},
	} {
		for label, n := range c.from {
			c.to[label] += n
		}
	}
	s.Lag = max(s.Lag, o.Lag)
	s.HistoryEvents += o.HistoryEvents
	s.HistoryBytes += o.HistoryBytes
	s.Users += o.Users
	s.Draining = s.Draining || o.Draining
}

// Stats returns the hub's counts and state.
func (h *Hub) Stats() Stats {
	s := Stats{
		Catchups: h.stats.catchups.read(),
		Gaps:     h.stats.gaps.read(),
		Rejected: h.stats.rejected.read(),
	}
	for sh := range h.everyShard() {
		sh.mu.Lock()
		s.Traffic.add(&sh.traffic)
		sh.mu.Unlock()
	}

	s.Lag = h.Lag()

	s.Published, s.Skipped = h.published.Load(), h.Skipped()

	h.window.mu.RLock()
	s.HistoryEvents, s.HistoryBytes = len(h.window.entries), h.window.bytes
	h.window.mu.RUnlock()

	h.admission.mu.Lock()
	s.Users, s.Draining = len(h.admission.users), h.admission.closed
	h.admission.mu.Unlock()
	return s
}

// Rejected counts a client that was rejected.
func (h *Hub) Rejected(reason string) { h.stats.rejected.add(reason) }

// stats counts what is rare enough for a lock and a map.
type stats struct{ catchups, gaps, rejected labelled }

func newStats() stats {
	return stats{
		catchups: known("new", "resume", "slow", "memory"),
		gaps:     known("trimmed", "lost", "unknown", "upstream"),
		rejected: known("rate", "connections", "per_user", "per_ip", "draining", "broker", "denied"),
	}
}

// labelled counts by label.
type labelled struct {
	mu *sync.Mutex // guards n
	n  map[string]uint64
}

// known returns counts of zero for labels that will be used: a rate can only be computed of a series that existed before.
func known(labels ...string) labelled {
	l := labelled{new(sync.Mutex), map[string]uint64{}}
	for _, label := range labels {
		l.n[label] = 0
	}
	return l
}

func (l labelled) add(label string) {
	l.mu.Lock()
	l.n[label]++
	l.mu.Unlock()
}

func (l labelled) read() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.n)
}

// SetHeld sets whether the stream is held without a goroutine. Call it before the stream begins.
func (c *Conn) SetHeld(held bool) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.countOpen(-1)
	c.held = held
	c.countOpen(1)
}

// countOpen counts the connection by the way it is served. The caller holds shard.mu.
func (c *Conn) countOpen(by int) {
	open := &c.shard.traffic.Open[max(c.protocol, 1)]
	if c.held {
		open.Held += by
	} else {
		open.Goroutine += by
	}
}

// Delivered returns how many events the connection's stream was given, and their size.
func (c *Conn) Delivered() (events, bytes uint64) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.events, c.bytes
}

// Draining reports whether the connection's hub refuses new clients.
func (c *Conn) Draining() bool { return c.shard.hub.admission.isClosed() }

// count counts the events of one batch that were given to the stream. The caller holds shard.mu.
func (c *Conn) count(now time.Time, oldest *entry, events, bytes uint64) {
	c.events += events
	c.bytes += bytes
	t := &c.shard.traffic
	t.Delivered += events
	t.Bytes += bytes
	// Events from before the connection were not delayed, but asked for.
	if !oldest.at.Before(c.Since()) {
		t.Delay.observe(now.Sub(oldest.at))
	}
}
