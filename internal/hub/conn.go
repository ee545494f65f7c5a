package hub

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Conn is one open stream, as the hub sees it. The hub calls what OnWake has set when there is something to
// write, and the stream's writer asks Next for it: the hub never waits for a client.
//
// A connection is live, and matching entries are appended to its pending list, or it is catching up, and
// reads the window from its cursor. A new one, one that resumes and a slow one all come through catching up.
type Conn struct {
	ID     string
	User   string // "" for none
	Remote string
	Route  Route // as given to Subscribe; nil: none

	shard   *shard
	address string        // what limits count it by
	since   time.Duration // from the hub's beginning

	// Guarded by shard.mu.
	wake    func()
	topics  *topics
	sets    []membership // of its topics
	waiting *waiting     // nil: nothing waits; catching up: no entries do
	past    *past        // catching up: what may have to be read from the broker; nil: nothing
	cursor  uint64       // live: the newest entry put into waiting; catching up: all up to here has been read
	sent    uint64       // the place that the last id written stands for
	told    uint64       // the same of the last id on an event of the stream itself
	from    uint64       // the place that its stream continued from
	events  uint64       // given to the stream
	bytes   uint64       // and theirs
	prev    *Conn        // among its user's
	next    *Conn

	extra *extra // nil: nothing of it

	place    int32 // in index.all
	own      int32 // bytes that its Route takes; in this place it makes the Conn no larger
	protocol uint8 // HTTP's major version
	old      bool  // asked for by HTTP/1.0
	named    bool  // its client comes back with the same id
	live     bool
	ended    bool
	held     bool  // no goroutine serves it
	released bool  // its place in the admission is given up
	cause    cause // why it has ended
}

// Since is when the connection began.
func (c *Conn) Since() time.Time { return c.shard.hub.began.Add(c.since) }

// interest is what it hears. The caller holds shard.mu.
func (c *Conn) interest() interest { return interest{c.ID, c.User, c.topics} }

// OnWake sets what is called when Next may have something. It is called under a lock: it must neither block
// nor call the connection.
func (c *Conn) OnWake(wake func()) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.wake = wake
}

// signal wakes the writer, if there is one yet. The caller holds shard.mu.
func (c *Conn) signal() {
	if c.wake != nil {
		c.wake()
	}
}

// deliver puts an entry into the pending list of a live connection. Where that is over its budget, the connection falls
// back to catching up. The caller holds shard.mu.
func (c *Conn) deliver(e *entry, budget int64) {
	if e.receipt != nil {
		e.receipt.match(c, e)
	}
	if !c.live || c.cursor >= e.seq {
		return // it will read it in the window, or has it already
	}
	c.cursor = e.seq
	w := c.wait() // one that is excluded waits as well: the client is told that it has passed it
	w.entries = append(w.entries, e)
	c.charge(e.size())
	c.shard.grown += e.size()
	if len(w.entries) == 1 {
		c.signal()
	} else if w.bytes > budget {
		c.fallBack("slow")
	}
}

// fallBack drops what waits for a live connection, which catches up from before the oldest of it: its writer has been
// woken for that one already. The caller holds shard.mu.
func (c *Conn) fallBack(cause string) {
	oldest := c.waiting.entries[0]
	c.live = false
	c.goOn(oldest.seq-1, c.shard.hub.window.positionOf(oldest.seq-1))
	if c.past != nil && c.past.at.IsZero() { // the window has left it behind: it is sent first, and the broker asked for the rest
		c.past = &past{at: oldest.pos, page: []*entry{oldest}, fresh: true}
		c.chargePage(oldest.size())
	}
	c.drop()
	c.shard.hub.stats.catchups.add(cause)
}

// goOn sets where a connection that catches up has come to: in the window, and in the log. The caller holds shard.mu, or
// is alone with the connection.
func (c *Conn) goOn(seq uint64, p broker.Position) {
	c.cursor = seq
	if !c.shard.hub.archive.empty {
		c.past = &past{at: p, seq: seq, joined: true}
	}
}

// Next appends to frames what is to be written now, about max bytes of it, or at least one frame. It returns none
// where there is nothing to write; the writer then waits to be woken. The error is io.EOF once the stream
// is to be ended, behind the frames returned with it. The frames must not be changed. One that is larger than max
// comes alone, so that the writer need not copy it.
func (c *Conn) Next(frames [][]byte, max int64) ([][]byte, error) {
	window := c.shard.hub.window
	for {
		c.shard.mu.Lock()
		if len(c.shard.owed) > 0 {
			c.shard.settle(c)
		}
		frames = c.takeHead(frames)
		switch {
		case c.ended:
			frames = c.pass(frames)
			c.shard.mu.Unlock()
			return frames, io.EOF
		case c.live:
			frames = c.take(frames, max)
			c.shard.mu.Unlock()
			return frames, nil
		case c.past != nil && !c.past.joined:
			frames = c.recall(frames, max)
			wait := c.past != nil && !c.past.joined
			c.shard.mu.Unlock()
			if wait || len(frames) > 0 {
				return frames, nil
			}
			continue
		}
		cursor, in, passed := c.cursor, c.interest(), c.shard.cursor
		c.shard.mu.Unlock()

		// Only the writer moves a cursor that is catching up, so it stands while the window is read.
		pg := window.read(in, cursor, max, passed)

		c.shard.mu.Lock()
		if now := c.interest(); now != in || c.extra != nil { // narrowed meanwhile, or widened behind some of it
			pg.entries = slices.DeleteFunc(pg.entries, func(e *entry) bool { return !now.hears(e) || c.early(e) })
		}
		if c.ended {
			c.shard.mu.Unlock()
			continue
		}
		frames = c.takeHead(frames)
		if len(frames) > 0 && len(pg.entries) > 0 && pg.entries[0].size() > max {
			c.shard.mu.Unlock()
			return frames, nil
		}
		if pg.gap && c.past != nil { // the broker may have it still
			c.past.joined, c.past.met = false, false
			c.shard.mu.Unlock()
			continue
		}
		c.cursor = pg.upTo
		if c.past != nil {
			c.past.at, c.past.seq = pg.pos, pg.upTo
		}
		if pg.gap {
			frames = append(frames, c.gap("trimmed", window.positionOf(cursor), pg.to))
			c.sent = pg.upTo
		}
		frames = c.render(frames, pg.entries)
		if c.live = pg.tail && c.cursor >= c.shard.cursor; c.live {
			c.past = nil
		}
		wait := c.live || pg.stalled && len(frames) == 0 && c.shard.cursor == passed && c.shard.stall(c)
		c.shard.mu.Unlock()
		if wait || len(frames) > 0 {
			return frames, nil
		}
	}
}

// spacing is how many entries of the log there are at least between two positions on a busy stream, however small the window.
const spacing = 16

// take renders the oldest part of the pending list. The caller holds shard.mu.
func (c *Conn) take(frames [][]byte, max int64) [][]byte {
	pending := c.pending()
	n := 0
	var size int64
	for ; n < len(pending) && (n+len(frames) == 0 || size+pending[n].size() <= max); n++ {
		size += pending[n].size()
	}
	if n > 0 {
		frames = c.render(frames, pending[:n])
		c.shift(n, size)
	}
	switch {
	case n < len(pending):
		c.signal()
	case n > 0 && c.told < c.shard.aged && c.cursor-c.told >= spacing:
		frames = append(frames, c.position())
	}
	return frames
}

// render appends the frames of entries that the connection is to get. Where the last of them are not for it, as it is
// excluded, a position follows: the next connection of the client may have another id, and would get them if it came back to
// a place before them. The caller holds shard.mu.
func (c *Conn) render(frames [][]byte, entries []*entry) [][]byte {
	now := time.Now()
	var oldest, passed *entry
	var events, bytes uint64
	for _, e := range entries {
		switch {
		case e.hole():
			frames, passed = append(frames, c.gap("lost", e.since(), e.pos)), nil
			c.told = e.seq
		case c.excluded(e):
			passed = e
		case e.void(now):
			c.shard.traffic.passOver(e)
			if e.receipt != nil {
				e.receipt.become(c, meant, failed)
			}
			c.shard.trace.pass(c.ID, e.seq)
			continue
		default:
			if e.receipt != nil {
				e.receipt.give(c)
			}
			frames, passed = append(frames, e.frame), nil
			if events == 0 {
				oldest = e
			}
			events, bytes = events+1, bytes+uint64(len(e.frame))
		}
		c.sent = e.seq
	}
	if passed != nil {
		frames = append(frames, positionFrame(passed.pos))
		c.told = passed.seq
	}
	if events > 0 {
		c.count(now, oldest, events, bytes)
	}
	return frames
}

func (c *Conn) excluded(e *entry) bool { return slices.Contains(e.exclude, c.ID) }

// pass appends the position of the entries that wait in front of all others and that the connection is excluded from, if
// there are any: its stream ends before the writer comes to them. The caller holds shard.mu.
func (c *Conn) pass(frames [][]byte) [][]byte {
	pending := c.pending()
	n := 0
	for n < len(pending) && c.excluded(pending[n]) {
		n++
	}
	if n == 0 {
		return frames
	}
	var size int64
	for _, e := range pending[:n] {
		size += e.size()
	}
	frames = c.render(frames, pending[:n])
	c.shift(n, size)
	return frames
}

// Idle returns what keeps a silent stream open: a newer position if the client's has aged, otherwise a heartbeat. The
// position that counts is the last on an event of the stream itself: a page cannot see the ids of events that it does not
// listen for, and opens a new EventSource from the last id it has seen. A busy stream gets newer positions by take.
func (c *Conn) Idle() []byte {
	aged := c.shard.hub.window.aged(time.Now())
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.live && c.waiting == nil && c.told < aged {
		return c.position()
	}
	return []byte(sse.Heartbeat)
}

// position tells a client with nothing pending that it has all up to the shard's cursor. The caller holds
// shard.mu.
func (c *Conn) position() []byte {
	seq := max(c.shard.cursor, c.cursor)
	p := c.shard.hub.window.positionOf(seq)
	if p.IsZero() {
		return []byte(sse.Heartbeat)
	}
	c.sent, c.told = seq, seq
	return positionFrame(p)
}

// positionFrame tells a client that it has all up to a position.
func positionFrame(p broker.Position) []byte {
	return sse.Event{Type: "sse:position", Data: []byte("{}"), ID: p.String()}.Append(nil)
}

// End ends the stream behind a last frame, which may be nil. The writer notices by Next.
func (c *Conn) End(farewell []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.end(farewell)
}

// end is End for who holds shard.mu.
func (c *Conn) end(farewell []byte) {
	if !c.ended {
		c.ended = true
		if farewell != nil {
			w := c.wait()
			w.head = append(slices.Clip(w.head), farewell...)
		}
		c.signal()
	}
}

// Ended reports whether the stream is to be ended.
func (c *Conn) Ended() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.ended
}

// Close takes the connection out of every index. The writer calls it when its stream has ended; the reason is
// nil where it was ended from here.
func (c *Conn) Close(reason error) {
	h := c.shard.hub
	c.shard.trace.left(c, reason)
	h.leave(c)
	if h.Closed != nil {
		h.Closed(c, reason)
	}
}

// connected is the first event of a stream. from is what the stream continues from, "" where a gap that
// follows has to be told again if the client never hears of it.
func (c *Conn) connected(from string, retry time.Duration) []byte {
	data := struct {
		Connection string   `json:"connection"`
		User       *string  `json:"user"`
		Topics     []string `json:"topics"`
	}{Connection: c.ID, Topics: c.topics.list()}
	if c.User != "" {
		data.User = &c.User
	}
	if data.Topics == nil {
		data.Topics = []string{}
	}
	return sse.Event{Type: "sse:connected", Retry: retry, Data: encode(data), ID: from}.Append(nil)
}

// gap says that what matches behind from and up to to may be gone. A hundred thousand pages should not
// fetch it all anew in the same moment, so each is told to wait for a time of its own.
func (c *Conn) gap(reason string, from, to broker.Position) []byte {
	c.shard.hub.stats.gaps.add(reason)
	c.shard.trace.gap(c.ID, reason, from, to)
	spread := min(max(time.Second, time.Duration(c.shard.hub.admission.count())*time.Millisecond), time.Minute)
	data := struct {
		Reason string `json:"reason"`
		From   string `json:"from"`
		To     string `json:"to"`
		Delay  int64  `json:"delay"`
	}{reason, from.String(), to.String(), rand.Int64N(int64(spread)) / int64(time.Millisecond)}
	return sse.Event{Type: "sse:gap", Data: encode(data), ID: data.To}.Append(nil)
}

// encode writes compact JSON.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only structs of strings and numbers come here
	}
	return b
}
