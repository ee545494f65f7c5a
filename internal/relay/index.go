package relay

import (
	"encoding/json"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// kept is how long a relay is known after its end.
	kept = 15 * time.Minute
	// maxEnded is how many ended relays are known, and maxEndedBytes about how much memory they take. Past that, the oldest is forgotten.
	maxEnded      = 50_000
	maxEndedBytes = 64 << 20
	// knownSize is about what a relay takes besides its texts.
	knownSize = 512
)

// known is a relay as the log tells of it.
type known struct {
	id string
	begin
	began  broker.Position
	since  time.Time
	digest [16]byte
	events uint64
	bytes  uint64 // of the events' data

	answered bool // its answer is being read, or was
	outcome  outcome
	end      Status          // Running until it has ended
	ended    broker.Position // of the end record
	at       time.Time       // of the end
	taken    bool            // the app has taken done
}

// index is what the log tells of all relays.
type index struct {
	relays map[string]*known
	ended  []*known       // oldest first
	bytes  int            // of those, as size counts them
	open   int            // relays that have no end
	users  map[string]int // the same, by user
}

func newIndex() index { return index{relays: map[string]*known{}, users: map[string]int{}} }

// see takes the next record of the log. It returns the relay, if it has begun, has an answer or has ended, or another node calls done
// from now on.
func (x *index) see(e *broker.Entry) *known {
	id, heard := relayOf(&e.Record)
	if id == "" {
		return nil
	}
	k := x.relays[id]
	switch kind := e.Record.Type; {
	case kind == typeBegin && !heard:
		return x.begin(k, id, e)
	case k == nil || k.ended != (broker.Position{}) && heard:
		return nil // of a relay whose begin the log no longer has, or after its end
	case kind == typeEnd && heard:
		return x.finish(k, e)
	case heard:
		k.events, k.bytes = k.events+1, k.bytes+uint64(len(e.Record.Data))
	case kind == typeAnswer && k.end == Running:
		k.outcome = outcome{}
		k.answered = json.Unmarshal(e.Record.Data, &k.outcome) == nil
		return k
	case kind == typeOutcome && k.end == Running:
		k.outcome = outcome{}
		_ = json.Unmarshal(e.Record.Data, &k.outcome)
	case kind == typeAdopted:
		_ = json.Unmarshal(e.Record.Data, &k.outcome.Node)
		return k
	case kind == typeDone:
		k.taken = true
	}
	return nil
}

// begin adds a relay. One of the same id that still runs stays.
func (x *index) begin(old *known, id string, e *broker.Entry) *known {
	k := &known{id: id, began: e.Position, since: e.Record.Time, digest: e.Record.Digest, end: Running}
	if old != nil && old.end == Running || json.Unmarshal(e.Record.Data, &k.begin) != nil {
		return nil
	}
	x.relays[id] = k
	x.count(k, 1)
	return k
}

// finish records a relay's end.
func (x *index) finish(k *known, e *broker.Entry) *known {
	var data end
	if json.Unmarshal(e.Record.Data, &data) != nil || data.Status == "" {
		data.Status = Failed
	}
	k.end, k.ended, k.at = data.Status, e.Position, e.Record.Time
	x.ended = append(x.ended, k)
	x.bytes += k.size()
	x.count(k, -1)
	return k
}

// size returns about how many bytes a relay takes that has ended.
func (k *known) size() int {
	n := knownSize + len(k.id) + len(k.begin.Node) + len(k.User) + len(k.Topic) + len(k.Event) + len(k.As) + len(k.Done) + len(k.outcome.Error) + len(k.outcome.Body)
	for name, value := range k.outcome.Headers {
		n += len(name) + len(value) + 64
	}
	return n
}

// over returns the data of an end that is written by another node than the one that runs the relay.
func (k *known) over(status Status) end { return end{k.id, status, k.events, k.bytes} }

// count adds to the number of relays that run.
func (x *index) count(k *known, n int) {
	x.open += n
	if k.User == "" {
		return
	}
	if x.users[k.User] += n; x.users[k.User] == 0 {
		delete(x.users, k.User)
	}
}

// prune forgets the relays that ended long ago, and returns them.
func (x *index) prune(now time.Time) (forgotten []*known) {
	n := 0
	for n < len(x.ended) && (len(x.ended)-n > maxEnded || x.bytes > maxEndedBytes || now.Sub(x.ended[n].at) > kept) {
		k := x.ended[n]
		if x.relays[k.id] == k {
			delete(x.relays, k.id)
		}
		x.bytes -= k.size()
		forgotten = append(forgotten, k)
		n++
	}
	clear(x.ended[:n])
	x.ended = x.ended[n:]
	return forgotten
}

// abandon forgets the relays that can no longer be running, although the log has told of no end, and returns them: it has lost that.
func (x *index) abandon(now time.Time, runs func(*known) bool) (forgotten []*known) {
	for id, k := range x.relays {
		if k.end == Running && now.Sub(k.since) > maxTimeout+kept && !runs(k) {
			delete(x.relays, id)
			x.count(k, -1)
			forgotten = append(forgotten, k)
		}
	}
	return forgotten
}
