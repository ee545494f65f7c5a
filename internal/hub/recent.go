package hub

import (
	"bytes"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Recent is a part of what the hub has delivered of late.
type Recent struct {
	Events []Tapped
	UpTo   broker.Position // all up to here has been looked at
	Gap    bool            // something behind the place that was asked for is not held any more
	More   <-chan struct{} // closed when there is more; nil where there is already
}

// maxRecent bounds how many events one look goes over.
const maxRecent = 2_000

// Recent looks at the events behind a position, up to limit of them. It takes what it shows from the window, so
// that it costs nothing while nobody asks.
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
	if r.UpTo.IsZero() { // all of it was trimmed meanwhile
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

// record is the event as its broker had it, as far as its bytes on the wire tell.
func (e *entry) record() broker.Entry {
	r := broker.Record{Targets: e.targets, Time: e.at}
	if m, err := sse.NewReader(bytes.NewReader(e.frame), 0).Next(); err == nil {
		r.Data, r.Type = []byte(m.Data), m.Type
		_, id, _ := bytes.Cut([]byte(m.ID), []byte{'~'})
		r.ID = string(id)
	}
	return broker.Entry{Position: e.pos, Record: r}
}
