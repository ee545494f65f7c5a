package publish

import (
	"context"
	"errors"
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/patience"
)

const (
	// groupEvents is how many events of a batch are appended at a time, at most.
	groupEvents = 256
	// groupBytes is the size of data at which a group is full.
	groupBytes = 1 << 20
)

// group is the events of a request that are stored together.
type group struct {
	records []broker.Record
	places  []int // of the records in the answers
	size    int   // bytes of data
}

// groups has empty groups, for their memory.
var groups = sync.Pool{New: func() any { return new(group) }}

func (g *group) full() bool { return len(g.records) >= groupEvents || g.size >= groupBytes }

// add adds a record whose answer has a given place, and returns it.
func (g *group) add(record broker.Record, place int) *broker.Record {
	g.records, g.places, g.size = append(g.records, record), append(g.places, place), g.size+len(record.Data)
	return &g.records[len(g.records)-1]
}

// drop removes the record that was added last.
func (g *group) drop() {
	last := len(g.records) - 1
	g.size -= len(g.records[last].Data)
	g.records[last] = broker.Record{}
	g.records, g.places = g.records[:last], g.places[:last]
}

// store stores the records, fills in their answers, and empties the group.
func (g *group) store(ctx context.Context, theHub *hub.Hub, d *decode.Decoder, answers []Answer) {
	if len(g.records) == 0 {
		return
	}
	timed := patience.New(ctx, Timeout)
	defer timed.Stop()
	kept := false // by the broker
	for i, result := range store(timed, theHub, g.records) {
		a := &answers[g.places[i]]
		awaited := a.awaited
		*a = answerTo(result, d, g.places[i])
		if awaited.begin(result) {
			a.awaited = awaited
		}
		kept = kept || errors.Is(result.Err, broker.ErrUnknownOutcome)
	}
	if kept {
		g.records = nil
	}
	clear(g.records)
	g.records, g.places, g.size = g.records[:0], g.places[:0], 0
}
