package hub

import (
	"cmp"
	"slices"
	"time"
)

// Behind is how far a connection is behind the end of the window.
type Behind struct {
	Connection ConnectionInfo
	Pending    int64         // bytes that wait for it
	Events     int           // events that wait for it; if it catches up, the entries that it has yet to look at
	Delay      time.Duration // the age of the oldest of them; not known if it catches up from the log
	CatchingUp bool
}

// Slowest returns up to limit connections that are behind, the furthest first. It may miss those that come or go meanwhile.
func (h *Hub) Slowest(limit int) []Behind {
	type place struct {
		*Conn
		Behind
	}
	var worst []place
	now := time.Now()
	for s := range h.everyShard() {
		seq, _, _ := s.hub.window.end()
		for from, n := 0, visitChunk; n == visitChunk; from += n {
			var chunk []place
			s.mu.Lock()
			n = min(visitChunk, max(0, len(s.index.all)-from))
			for _, c := range s.index.all[from : from+n] {
				// If limit others are further behind, it need not be sorted in.
				if b, ok := c.behind(seq, now); ok && (len(worst) < limit || b.Delay >= worst[limit-1].Delay) {
					chunk = append(chunk, place{c, b})
				}
			}
			s.mu.Unlock()
			if len(chunk) == 0 {
				continue
			}
			worst = append(worst, chunk...)
			slices.SortFunc(worst, func(a, b place) int {
				return cmp.Or(cmp.Compare(b.Delay, a.Delay), cmp.Compare(b.Events, a.Events), cmp.Compare(a.ID, b.ID))
			})
			worst = worst[:min(limit, len(worst))]
		}
	}
	list := make([]Behind, len(worst))
	for i, w := range worst {
		list[i] = w.Behind
		list[i].Connection = w.info()
	}
	return list
}

// behind returns how far the connection is behind seq, and whether it is. The caller holds shard.mu.
func (c *Conn) behind(seq uint64, now time.Time) (b Behind, is bool) {
	if c.live {
		pending := c.pending()
		if len(pending) == 0 {
			return b, false
		}
		return Behind{Pending: c.waiting.bytes, Events: len(pending), Delay: now.Sub(pending[0].at)}, true
	}
	if c.cursor >= seq {
		return b, false
	}
	b = Behind{Events: int(seq - c.cursor), Delay: c.shard.hub.window.ageOf(c.cursor+1, now), CatchingUp: true}
	b.Pending = c.catchUp.pending()
	return b, true
}

// ageOf returns the age of the entry at seq, or of the oldest that is left after it.
func (w *window) ageOf(seq uint64, now time.Time) time.Duration {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if seq = max(seq, w.base); seq > w.tail() {
		return 0
	}
	return now.Sub(w.entries[seq-w.base].at)
}
