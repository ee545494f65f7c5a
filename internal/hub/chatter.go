package hub

import (
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
)

// chatter bounds the records that clients cause by coming and going. They take at most three twentieths of the history, so that what
// apps publish stays. Each kind has a share of its own, so that a crowd of one kind does not keep out the others. Records that
// an app asks for, such as a disconnect, are not bounded.
type chatter struct {
	mu       sync.Mutex  // guards all below
	reserved [shares]int // records that are on their way into the log
}

// share is the kind of a record that clients cause.
type share uint8

const (
	noShare         share = iota // caused by apps
	presenceShare                // a user comes or goes
	takeoverShare                // a stream takes the place of another
	repetitionShare              // additions to living connections are repeated
	noticeShare                  // a protocol says who comes and goes
	shares                       // the number of shares
)

// parts has the part of the history that each share is: a twentieth, or a fortieth.
var parts = [shares]int{noShare: 1, presenceShare: 20, takeoverShare: 40, repetitionShare: 40, noticeShare: 20}

// shareOf returns the share that a record counts against, unless it is a notice.
func shareOf(r *broker.Record) share {
	switch {
	case r.Kind == broker.Event && r.Type == presenceType:
		return presenceShare
	case r.Kind == broker.Supersede:
		return takeoverShare
	case r.Kind == broker.Join && !r.Since.IsZero():
		return repetitionShare
	}
	return noShare
}

// reserve reserves room for up to n records of a share, and returns for how many there is room. The caller calls done when they
// are in the window, or have failed.
func (c *chatter) reserve(w *window, s share, n int) (room int, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room = max(0, min(n, w.free(s)-c.reserved[s]))
	c.reserved[s] += room
	return room, func() {
		c.mu.Lock()
		c.reserved[s] -= room
		c.mu.Unlock()
	}
}

// free returns how many more records of a share the history has room for. Presence and notices may exceed their shares while half of
// the history is free.
func (w *window) free(s share) int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	free := max(1, w.history.Events/parts[s]) - w.chatter[s]
	if (s == presenceShare || s == noticeShare) && w.bytes <= w.history.Bytes/2 {
		free = max(free, w.history.Events/2-len(w.entries))
	}
	return free
}
