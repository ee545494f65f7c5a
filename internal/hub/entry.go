package hub

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// entry is a record as a hub keeps it: encoded once, and shared by the window and every connection that it waits for. Only
// superseded and the counts change.
type entry struct {
	seq      uint64 // the place in this hub's own count, without holes
	pos      broker.Position
	targets  []broker.Target
	exclude  []string
	at       time.Time
	expires  time.Time // zero if never
	coalesce string    // equal for entries of which only the newest counts; "" if all do
	frame    []byte    // the bytes on the wire; nil if it is no event
	control  *control  // nil unless it steers connections
	names    int64     // about what targets and exclusions cost, in bytes
	receipt  *Receipt  // nil if no publisher follows it

	loss   *loss // nil unless it is a hole
	share  share // the share that it counts against
	public bool  // connections with matchers hear it without a grant

	superseded atomic.Bool

	// Guarded by memory.mu.
	round uint32 // the last count that has met it
	lists int32  // in how many lists it waits, as far as these have been counted
}

// loss is what a hole stands for.
type loss struct {
	reason string          // of the gap
	before broker.Position // of the entry before the hole; zero if that is not known
}

var everyone = []broker.Target{{Kind: broker.Broadcast}}

// entryOverhead is about what an entry costs besides its frame: the struct, its place in the window and in the index.
const entryOverhead = 256

func newEntry(seq uint64, e *broker.Entry) *entry {
	r := &e.Record
	n := &entry{seq: seq, pos: e.Position, at: r.Time}
	if n.at.IsZero() { // it is not known when what is missing was appended
		n.at = time.Now()
	}
	switch r.Kind {
	case broker.Hole:
		n.loss = &loss{reason: cmp.Or(r.Type, "lost")}
		if n.targets = everyone; len(r.Targets) > 0 {
			n.targets, n.names = r.Targets, r.NamesSize()+deepSize(r.Targets)
		}
		return n
	case broker.Event:
	default:
		n.control, n.names = &control{r.Kind, r.Targets, r.Topics, r.TTL, r.Ends, r.Since, r.Partial, r.Read}, r.NamesSize()
		n.share = shareOf(r)
		return n
	}
	n.share = shareOf(r)
	n.targets, n.exclude, n.public = r.Targets, r.Exclude, r.Public
	n.names = r.NamesSize() + deepSize(r.Targets)
	if r.TTL > 0 {
		n.expires = r.Time.Add(r.TTL)
	}
	if r.Coalesce != "" {
		n.coalesce = coalesceKey(r)
	}
	var buf [96]byte
	id := e.Position.AppendText(buf[:0])
	if r.ID != "" {
		id = append(append(id, '~'), r.ID...)
	}
	retry := r.Retry
	if retry > 0 {
		retry = max(retry, rules.MinRetry) // an older version, or another program, may have stored less
	}
	n.frame = sse.Event{ID: string(id), Type: r.Type, Data: r.Data, Retry: retry}.Append(
		make([]byte, 0, len(r.Data)+len(r.Type)+len(id)+48)) // enough for a few lines of data
	return n
}

// deepSize returns about what the segments of topics take in an index beyond those that most topics have.
func deepSize(targets []broker.Target) (n int64) {
	for _, t := range targets {
		if t.Kind == broker.Topic && len(t.Name) > rules.MaxSegments {
			n += 256 * int64(max(0, strings.Count(t.Name, "/")-rules.MaxSegments))
		}
	}
	return n
}

// repeats reports whether the entry is a Join that repeats an older one.
func (e *entry) repeats() bool { return e.control != nil && !e.control.since.IsZero() }

// follows records the position of the entry before. Only a hole needs it, as the start of its gap.
func (e *entry) follows(p broker.Position) {
	if e.hole() {
		e.loss.before = p
	}
}

func (e *entry) hole() bool  { return e.loss != nil }
func (e *entry) size() int64 { return int64(len(e.frame)) + entryOverhead }

// held returns what the entry costs the window or a queue. A connection that it waits for is charged size.
func (e *entry) held() int64 { return e.size() + e.names }

// void reports whether the entry is no longer to be sent: it has expired, or a newer one has taken its place.
func (e *entry) void(now time.Time) bool {
	return e.superseded.Load() || !e.expires.IsZero() && !now.Before(e.expires)
}

// coalesceKey returns the record's key together with everything that decides which connections get it.
func coalesceKey(r *broker.Record) string {
	parts := make([]string, 0, len(r.Targets)+len(r.Exclude))
	for _, t := range r.Targets {
		parts = append(parts, string('0'+rune(t.Kind))+t.Name)
	}
	for _, id := range r.Exclude {
		parts = append(parts, "-"+id)
	}
	slices.Sort(parts)
	return r.Coalesce + "\x00" + strings.Join(parts, "\x00")
}

// ids returns the places in an event's frame at which its id begins and ends, at which the position in it ends, and at which the
// publisher's own id begins; 0 if there is none that connections with matchers may get.
func (e *entry) ids() (id, end, position, own int) {
	end = len(e.frame) - 2                                          // a blank line follows
	id = bytes.LastIndexByte(e.frame[:end], '\n') + 1 + len("id: ") // it is the last line
	position = end
	if i := bytes.IndexByte(e.frame[id:end], '~'); i >= 0 {
		position = id + i
		if given := e.frame[position+1 : end]; !bytes.HasPrefix(given, positionMark) && string(given) != earliest {
			own = position + 1
		}
	}
	return id, end, position, own
}

// ownID returns the id that the publisher of an event gave; nil for none.
func (e *entry) ownID() []byte {
	if e.frame == nil {
		return nil
	}
	_, end, _, own := e.ids()
	if own == 0 {
		return nil
	}
	return e.frame[own:end]
}

// appendMatched appends the event as connections with matchers get it: its id is the publisher's own, or # and its position. An id
// of the publisher's that means something else to the hub does not count. The frame itself is shared.
func (e *entry) appendMatched(frames [][]byte) [][]byte {
	id, end, position, own := e.ids()
	switch {
	case own > 0:
		return append(frames, e.frame[:id], e.frame[own:])
	case position < end:
		return append(frames, e.frame[:id], positionMark, e.frame[id:position], e.frame[end:])
	}
	return append(frames, e.frame[:id], positionMark, e.frame[id:])
}

// positionMark begins the ids of connections with matchers that are positions.
var positionMark = []byte("#")

// hears reports whether an entry matches the interest.
func (in interest) hears(e *entry) bool {
	m := in.topics.matched()
	if m == nil {
		return in.meets(e.targets)
	}
	return (m.heed(e.targets) || e.hole() && slices.Contains(e.targets, everyone[0])) && e.open(m)
}

// open reports whether matchers may hear the entry: it is public, or granted. What a hole stands for is not known, so it counts as
// public.
func (e *entry) open(m *Matchers) bool { return e.public || e.hole() || m.may(e.targets) }

// openOnce is open, worked out once for each connection: it may listen to the entry's topics in many ways, and its grant may take long
// for each of them. The caller holds the shard.mu of the connection.
func (e *entry) openOnce(m *Matchers) bool {
	if m.judged != e.seq {
		m.judged, m.opened = e.seq, e.open(m)
	}
	return m.opened
}
