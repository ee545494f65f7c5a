package main

import (
	"bytes"
	"sync"
)

// tally is what clients count together.
type tally struct {
	mu        sync.Mutex
	delays    histogram
	delivered int   // events in order
	missing   int   // numbers that were passed over
	disorder  int   // events that came twice or late
	gaps      int   // of sse:gap
	rejected  int   // of sse:rejected
	positions int   // of sse:position
	closed    int   // streams that ended
	bytes     int   // of all that was read
	last      int64 // when the last event came
}

// add merges another tally, which nobody else may hold.
func (t *tally) add(o *tally) {
	t.delays.merge(&o.delays)
	t.delivered += o.delivered
	t.missing += o.missing
	t.disorder += o.disorder
	t.gaps += o.gaps
	t.rejected += o.rejected
	t.positions += o.positions
	t.closed += o.closed
	t.bytes += o.bytes
	t.last = max(t.last, o.last)
}

// client is one subscriber.
type client struct {
	parser
	user int
	next [maxPublishers]uint32 // the number that should come next

	tally    *tally // locked while bytes are fed
	at       int64  // when they came
	received int
	gaps     int
	gone     bool

	keepID bool
	lastID string

	ending bool   // the next data is that of sse:end
	end    string // data of sse:end
}

var (
	dataPrefix  = []byte("data: ")
	idPrefix    = []byte("id: ")
	eventPrefix = []byte("event: sse:")
)

// take counts all that came at once.
func (c *client) take(b []byte) error {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	c.at = now()
	c.tally.bytes += len(b)
	return c.feed(b, c.readLine)
}

func (c *client) readLine(line []byte) {
	if len(line) < 5 {
		return
	}
	switch line[0] {
	case 'd':
		if data, ok := bytes.CutPrefix(line, dataPrefix); ok {
			if c.ending {
				c.ending, c.end = false, string(data)
				return
			}
			c.count(data)
		}
	case 'i':
		if id, ok := bytes.CutPrefix(line, idPrefix); ok && c.keepID {
			c.lastID = string(bytes.TrimSuffix(id, []byte("\r")))
		}
	case 'e':
		switch name, _ := bytes.CutPrefix(line, eventPrefix); string(name) {
		case "gap":
			c.gaps++
			c.tally.gaps++
		case "rejected":
			c.tally.rejected++
		case "position":
			c.tally.positions++
		case "end":
			c.ending = true
		}
	}
}

// count holds an event's number against the one that should come next.
func (c *client) count(data []byte) {
	if len(data) > 0 && data[0] == '{' { // Centrifugo has it in JSON
		data = data[max(bytes.IndexByte(data, mark), 0):]
	}
	publisher, seq, at, ok := parsePayload(data)
	if !ok {
		return
	}
	next := &c.next[publisher]
	if seq < *next {
		c.tally.disorder++
		return
	}
	c.tally.missing += int(seq - *next)
	*next = seq + 1
	c.received++
	c.tally.delivered++
	c.tally.delays.add(c.at - at)
	c.tally.last = c.at
}

// leave counts a stream that ended.
func (c *client) leave() {
	if c.gone {
		return
	}
	c.gone = true
	c.tally.mu.Lock()
	c.tally.closed++
	c.tally.mu.Unlock()
}
