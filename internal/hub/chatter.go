package hub

import (
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
)

// chatter bounds what clients, by coming and going, put into the log: the records by which a stream takes the place of
// another, those of who comes and goes, and those that repeat what was added to living connections. They take a tenth of the history at most, so that what apps publish stays. What an
// app asks for, such as a disconnect, is never held back.
type chatter struct {
	mu       sync.Mutex // guards all below
	reserved int        // on their way into the log
}

// isChatter reports whether a record is one that clients have caused.
func isChatter(r *broker.Record) bool {
	return r.Kind == broker.Supersede || r.Kind == broker.Event && r.Type == presenceType || r.Kind == broker.Join && !r.Since.IsZero()
}

// reserve has room kept for n records, or reports false where there is none. With spare, those that are more than a tenth may
// take what is free as long as half of the history is. The caller calls done when they are in the window, or have failed.
func (c *chatter) reserve(w *window, n int, spare bool) (done func(), ok bool) {
	w.mu.RLock()
	there, entries, most, bytes := w.chatter, len(w.entries), w.history.Events, w.bytes > w.history.Bytes/2
	w.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	free := spare && !bytes && entries+c.reserved+n <= most/2
	if !free && there+c.reserved+n > max(1, most/10) {
		return nil, false
	}
	c.reserved += n
	return func() {
		c.mu.Lock()
		c.reserved -= n
		c.mu.Unlock()
	}, true
}

// room is how many of n records reserve would take.
func (c *chatter) room(w *window, n int) int {
	w.mu.RLock()
	there, entries, most := w.chatter, len(w.entries), w.history.Events
	w.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, min(n, max(most/2-entries, max(1, most/10)-there)-c.reserved))
}
