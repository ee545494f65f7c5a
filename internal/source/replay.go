package source

import (
	"slices"
	"strconv"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// maxNames is how many event names `replay last` keeps an event of.
const maxNames = 16

// replay has what a newcomer hears of the past. It keeps about as many bytes as one event may have.
type replay struct {
	events   []replayed // in the order of the log
	bytes    int64
	together []byte // all frames; nil if it has yet to be made. It is never changed, as streams may refer to it
}

// replayed is an event that a newcomer hears.
type replayed struct {
	name  string
	frame []byte
}

// add takes an event that the log has at a position.
func (p *replay) add(r *broker.Record, at broker.Position, s *Settings) {
	most := maxNames
	if s.Replay != defaultReplay {
		most, _ = strconv.Atoi(s.Replay) // 0: off
	} else if i := slices.IndexFunc(p.events, func(e replayed) bool { return e.name == r.Type }); i >= 0 {
		p.drop(i)
	}
	p.together = nil
	if most > 0 {
		id := at.String()
		if r.ID != "" {
			id += "~" + r.ID
		}
		frame := sse.Event{ID: id, Type: r.Type, Data: r.Data}.Append(nil)
		p.events, p.bytes = append(p.events, replayed{r.Type, frame}), p.bytes+int64(len(frame))
	}
	for len(p.events) > most || len(p.events) > 1 && p.bytes > s.Event {
		p.drop(0)
	}
}

func (p *replay) drop(i int) {
	p.bytes -= int64(len(p.events[i].frame))
	p.events = slices.Delete(p.events, i, i+1)
}

// frames returns all that a newcomer hears.
func (p *replay) frames() []byte {
	if p.together == nil && len(p.events) > 0 {
		p.together = make([]byte, 0, p.bytes)
		for _, e := range p.events {
			p.together = append(p.together, e.frame...)
		}
	}
	return p.together
}
