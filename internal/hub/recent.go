package hub

import (
	"bytes"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Recent has some of the newest events.
type Recent struct {
	Events []Tapped
	UpTo   broker.Position // everything up to here was looked at
	Gap    bool            // something after the given position is no longer held
	More   <-chan struct{} // closed when there is more; nil if there is already
}

// maxRecent bounds how many entries one call looks at.
const maxRecent = 2_000

// Recent returns events after a position, up to limit of them. It takes them from the window, so it costs nothing while it is
// not called.
func (h *Hub) Recent(after broker.Position, f TapFilter, limit int) (r Recent) {
	seq, p, more := h.window.end()
	from, at := h.window.locate(after)
	if at != within && at != newer {
		from, _ = h.window.oldest()
		r.Gap = true
	}
	if at == newer || from >= seq {
		r.UpTo, r.More = after, more
		return r
	}
	for _, e := range h.window.after(from, maxRecent) {
		if len(r.Events) == limit {
			return r
		}
		r.UpTo = e.pos
		if e.frame == nil {
			r.Gap = r.Gap || e.hole()
			continue
		}
		if record := e.record(); f.chooses(&record.Record) {
			r.Events = append(r.Events, tapped(&record))
		}
	}
	if r.UpTo.IsZero() { // everything was trimmed meanwhile
		r.UpTo, r.Gap = p, true
	}
	return r
}

// after returns up to n entries after a place, or from the oldest that is left.
func (w *window) after(seq uint64, n int) []*entry {
	w.mu.RLock()
	defer w.mu.RUnlock()
	first := int(max(seq+1, w.base) - w.base)
	if first >= len(w.entries) {
		return nil
	}
	return append([]*entry(nil), w.entries[first:min(first+n, len(w.entries))]...)
}

// record returns the event as the broker had it, as far as the bytes on the wire tell.
func (e *entry) record() broker.Entry {
	r := broker.Record{Targets: e.targets, Time: e.at}
	if m, err := sse.NewReader(bytes.NewReader(e.frame), 0).Next(); err == nil {
		r.Data, r.Type = []byte(m.Data), m.Type
		_, id, _ := bytes.Cut([]byte(m.ID), []byte{'~'})
		r.ID = string(id)
	}
	return broker.Entry{Position: e.pos, Record: r}
}
