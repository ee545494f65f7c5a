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

// Next appends to frames what is to be written now: about max bytes, or at least one frame. It appends none if there is nothing
// to write; the writer then waits to be woken. The error is io.EOF once the stream is to end after the frames returned with it.
// The caller must not change the frames. A frame larger than max comes alone, so that the writer need not copy it.
func (c *Conn) Next(frames [][]byte, max int64) ([][]byte, error) {
	for {
		c.shard.mu.Lock()
		if len(c.shard.owed) > 0 {
			c.shard.settle(c)
		}
		opens := c.opens() // then nothing else comes with it
		frames = c.takeHead(frames, max)
		var asleep bool
		switch {
		case opens:
			c.shard.mu.Unlock()
			return frames, nil
		case c.ended:
			frames = c.takeFarewell(c.pass(frames))
			c.shard.mu.Unlock()
			return frames, io.EOF
		case c.live:
			frames = c.take(frames, max)
			c.shard.mu.Unlock()
			return frames, nil
		case c.catchUp.inLog():
			frames = c.catchUp.state.next(c, frames, max)
			asleep = c.catchUp.state == awaitsPage{}
		default:
			frames, asleep = c.readWindow(frames, max)
		}
		done := !c.ended && (asleep || len(frames) > 0)
		c.shard.mu.Unlock()
		if done {
			return frames, nil
		}
	}
}

// readWindow renders the next part of the window. It reports true if there is nothing more to do until the connection is woken.
// The caller holds shard.mu, which readWindow releases while it reads.
func (c *Conn) readWindow(frames [][]byte, max int64) (_ [][]byte, asleep bool) {
	s, window := c.shard, c.shard.hub.window
	cursor, in, reached := c.cursor, c.interest(), s.cursor
	s.mu.Unlock()
	// Only the writer moves the cursor of a connection that catches up, so it stays where it is meanwhile.
	pg := window.read(in, cursor, max, reached)
	s.mu.Lock()
	if c.ended {
		return frames, false
	}
	if now := c.interest(); now != in || c.extra != nil { // its topics have changed, or some were added in the middle of the page
		pg.entries = slices.DeleteFunc(pg.entries, func(e *entry) bool { return !now.hears(e) || c.early(e) })
	}
	frames = c.takeHead(frames, max)
	if len(frames) > 0 && len(pg.entries) > 0 && pg.entries[0].size() > max {
		return frames, false
	}
	if pg.gap && c.catchUp != nil { // the archive may still have it
		c.catchUp.state = needsPage{}
		return frames, false
	}
	c.cursor = pg.upTo
	if c.catchUp != nil {
		c.catchUp.at = pg.pos
	}
	if pg.gap {
		frames = append(frames, c.gap("trimmed", window.positionOf(cursor), pg.to))
		c.sent = pg.upTo
	}
	frames = c.render(frames, pg.entries)
	if c.live = pg.tail && c.cursor >= s.cursor; c.live {
		c.catchUp = nil
		return frames, true
	}
	if pg.cut && len(frames) == 0 {
		c.signal() // its writer comes back when others have had their turn
		return frames, true
	}
	return frames, pg.stalled && len(frames) == 0 && s.cursor == reached && s.stall(c)
}

// spacing is the least number of entries of the log between two positions on a busy stream, however small the window is.
const spacing = 16

// take renders the oldest part of the pending list. The caller holds shard.mu.
func (c *Conn) take(frames [][]byte, max int64) [][]byte {
	pending := c.pending()
	n, size := fitting(pending, len(frames), max)
	if n > 0 {
		frames = c.render(frames, pending[:n])
		c.shift(n, size)
	}
	switch {
	case n < len(pending):
		c.signal()
	case n > 0 && c.told < c.shard.aged && c.cursor-c.told >= spacing && !c.shard.hub.accompanies():
		frames = append(frames, c.position())
	}
	return frames
}

// fitting returns how many of the entries are rendered next to the given number of frames, and their size. They are no larger
// than max together, except that the first frame may be of any size.
func fitting(entries []*entry, frames int, max int64) (n int, size int64) {
	for ; n < len(entries) && (n+frames == 0 || size+entries[n].size() <= max); n++ {
		size += entries[n].size()
	}
	return n, size
}

// render appends the frames of entries for the connection. If it is excluded from the last of them, a position follows: the
// client's next connection may have another id, and would get those entries if it resumed before them. The caller holds
// shard.mu.
func (c *Conn) render(frames [][]byte, entries []*entry) [][]byte {
	now := time.Now()
	var oldest, passed *entry
	var events, bytes uint64
	for _, e := range entries {
		switch {
		case e.hole():
			frames, passed = append(frames, c.gap(e.loss.reason, e.loss.before, e.pos)), nil
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
			if passed = nil; c.matches {
				frames = e.appendMatched(frames)
			} else {
				frames = append(frames, e.frame)
			}
			if events == 0 {
				oldest = e
			}
			events, bytes = events+1, bytes+uint64(len(e.frame))
		}
		c.sent = e.seq
	}
	if passed != nil {
		frames = append(frames, c.positionFrame(passed.pos))
		c.told = passed.seq
	}
	if events > 0 {
		c.count(now, oldest, events, bytes)
	}
	return frames
}

func (c *Conn) excluded(e *entry) bool { return slices.Contains(e.exclude, c.ID) }

// pass appends the position after the oldest pending entries that the connection is excluded from, if there are any: its stream
// ends before the writer comes to them. The caller holds shard.mu.
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

// Idle returns what keeps a silent stream open: a newer position if the client's has aged, otherwise a heartbeat. What counts
// as the client's is the last id on an event of the stream itself: a page does not see the ids of events that it has no
// listener for, and opens a new EventSource from the last id it has seen. A busy stream gets newer positions from take. In a
// companion, clients have no ids but those of their own events (see Opening), which do not age for them.
func (c *Conn) Idle() []byte {
	aged := c.shard.hub.window.aged(time.Now())
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.live && c.waiting == nil && c.told < aged && !c.shard.hub.accompanies() {
		return c.position()
	}
	return []byte(sse.Heartbeat)
}

// position returns a frame that tells a client with nothing pending that it has everything up to the shard's cursor. The caller
// holds shard.mu.
func (c *Conn) position() []byte {
	seq := max(c.shard.cursor, c.cursor)
	p := c.shard.hub.window.positionOf(seq)
	if p.IsZero() {
		return []byte(sse.Heartbeat)
	}
	c.sent, c.told = seq, seq
	return c.positionFrame(p)
}

// positionFrame returns a frame that tells a client that it has everything up to a position.
func (c *Conn) positionFrame(p broker.Position) []byte {
	return sse.Event{Type: "sse:position", Data: []byte("{}"), ID: c.idOf(p)}.Append(nil)
}

// idOf returns the id by which a client comes back to a position; "" for the zero position.
func (c *Conn) idOf(p broker.Position) string {
	if c.matches && !p.IsZero() {
		return string(positionMark) + p.String()
	}
	return p.String()
}

// connected returns the first event of a stream. from is the id that the stream continues from. It is "" if a gap follows: a
// client that is cut off before the gap then keeps its old id, and is told again.
func (c *Conn) connected(from string, retry time.Duration) []byte {
	if c.matches {
		return openedFrame(from, retry)
	}
	var buf [256]byte
	data := append(buf[:0], `{"connection":`...)
	data = appendText(data, c.ID)
	data = append(data, `,"user":`...)
	if c.User == "" {
		data = append(data, "null"...)
	} else {
		data = appendText(data, c.User)
	}
	data = append(data, `,"topics":[`...)
	for i, t := range c.topics.list() {
		if i > 0 {
			data = append(data, ',')
		}
		data = appendText(data, t)
	}
	data = append(data, "]}"...)
	frame := make([]byte, 0, len(data)+len(from)+64) // for the names of the fields
	return sse.Event{Type: "sse:connected", Retry: retry, Data: data, ID: from}.Append(frame)
}

// openedFrame is connected for a connection with matchers, whose client knows no such event: a position.
func openedFrame(from string, retry time.Duration) []byte {
	if from != "" {
		from = string(positionMark) + from
	}
	return sse.Event{Type: "sse:position", Retry: retry, Data: []byte("{}"), ID: from}.Append(nil)
}

// gap returns a frame that says that events may be missing after from, up to to. Each client is given a delay of its own, so
// that a hundred thousand pages do not fetch everything anew in the same moment.
func (c *Conn) gap(reason string, from, to broker.Position) []byte {
	c.shard.hub.stats.gaps.add(reason)
	c.shard.trace.gap(c.ID, reason, from, to)
	spread := min(max(time.Second, time.Duration(c.shard.hub.admission.count())*time.Millisecond), time.Minute)
	data := struct {
		Reason string `json:"reason"`
		From   string `json:"from"`
		To     string `json:"to"`
		Delay  int64  `json:"delay"`
	}{reason, c.idOf(from), c.idOf(to), rand.Int64N(int64(spread)) / int64(time.Millisecond)}
	return sse.Event{Type: "sse:gap", Data: encode(data), ID: data.To}.Append(nil)
}

// appendText appends a string as JSON, in the same form as encode.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&' {
			return append(dst, encode(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// encode writes compact JSON.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only structs of strings and numbers are encoded here
	}
	return b
}
