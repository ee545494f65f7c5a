package hub

import (
	"math"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Passage is part of what the window has of a topic.
type Passage struct {
	Entries []broker.Entry  // events, as far as the bytes on the wire tell, and holes
	UpTo    broker.Position // everything up to here was looked at
	Gap     bool            // something after the given position is no longer held
	End     bool            // there is nothing more
}

// Passage returns the events of a topic after a position, about max bytes of them. It takes them from the window.
func (h *Hub) Passage(topic string, after broker.Position, max int64) (pg Passage) {
	seq, at := h.window.locate(after)
	if at == newer {
		return Passage{UpTo: after, End: true}
	}
	in := interest{topics: newTopics([]string{topic})}
	if at != within {
		pg.Gap = at != older
		if at == older {
			pg.Gap, _, _ = h.window.trimmedSince(in, after)
		}
		seq, _ = h.window.oldest()
	}
	part := h.window.read(in, seq, max, math.MaxUint64)
	pg.Gap = pg.Gap || part.gap
	for _, e := range part.entries {
		if e.hole() {
			pg.Entries = append(pg.Entries, broker.Entry{Position: e.pos, Record: broker.Record{Kind: broker.Hole}})
		} else if e.frame != nil {
			pg.Entries = append(pg.Entries, e.record())
		}
	}
	pg.UpTo, pg.End = part.pos, part.tail
	return pg
}
