package hub

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// window holds the newest part of the log, encoded and indexed by target.
type window struct {
	mu sync.RWMutex // guards all below

	entries  []*entry        // by seq, without holes: entries[0].seq == base
	base     uint64          // seq of the oldest entry, or of the next one if there is none
	start    broker.Position // position of the entry before base
	begun    broker.Position // position of the entry before the first that the window ever had
	bytes    int64
	newest   map[string]*entry // by coalesce key
	epochs   []epoch           // oldest first; the last is the present life of the log
	old      uint64            // everything up to here had lived for half of the history's age when the newest entry came
	steered  []uint64          // the seqs of entries that steer connections, oldest first
	steering uint64            // the newest of those that were trimmed
	chatter  [shares]int       // number of entries that count against each share

	redundant func(*broker.Entry) bool // reports whether an event is passed over; may be nil
	notices   notices                  // may be read without mu

	index  map[broker.Target]*postings
	topics tree[*postings] // those of the index that have entries

	// What was trimmed of each target, so that a gap is sent only if something that the connection hears may be missing.
	// Targets without entries are kept in a list, in the order in which they lost their last one. They may take maxQuiet bytes.
	// Past that, the oldest is dropped, and its mark counts for every target.
	quietHead, quietTail *postings
	quietTopics          tree[*postings]
	quiet                int64
	mark                 mark

	ids *ids // nil until a client has resumed from the id of a publisher

	receipts receipts // for entries that are followed; it has a lock of its own

	history History
	grown   chan struct{} // closed and replaced when the tail moves, if it is awaited
	awaited atomic.Bool   // grown was given out
}

// epoch is one life of the log, as far as the window has seen it.
type epoch struct {
	id    uint64
	first uint64 // seq of its first entry in the window
}

// maxEpochs bounds the lives that are remembered after the window has lost their last entry. Lives that were forgotten or never
// seen cannot be ordered.
const maxEpochs = 256

// forget drops the oldest lives if there are too many. It keeps all that have entries in the window.
func (w *window) forget() {
	n := 0
	for len(w.epochs)-n > maxEpochs && w.epochs[n+1].first <= w.base {
		n++
	}
	w.epochs = slices.Delete(w.epochs, 0, n)
}

func newWindow(h History) *window {
	return &window{
		base: 1, history: h, grown: make(chan struct{}),
		index: map[broker.Target]*postings{}, newest: map[string]*entry{},
	}
}

// begin sets the position before the first entry. For this window, everything before it is gone.
func (w *window) begin(p broker.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start, w.begun, w.mark = p, p, mark{seq: w.base - 1, pos: p}
	w.epochs = append(w.epochs, epoch{p.Epoch, w.base})
}

// follows reports whether the window has had everything after a position.
func (w *window) follows(p broker.Position) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if p.Epoch == w.begun.Epoch {
		return p.Compare(w.begun) >= 0
	}
	return w.rank(p.Epoch) > w.rank(w.begun.Epoch)
}

func (w *window) tail() uint64 { return w.base + uint64(len(w.entries)) - 1 }

// position returns the position of the entry at seq, which must be in the window or just before it.
func (w *window) position(seq uint64) broker.Position {
	if seq < w.base {
		return w.start
	}
	return w.entries[seq-w.base].pos
}

// at returns an entry of the window, or nil.
func (w *window) at(seq uint64) *entry {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if seq < w.base || seq > w.tail() {
		return nil
	}
	return w.entries[seq-w.base]
}

// positionOf returns position(seq), or the zero Position if the window no longer knows it.
func (w *window) positionOf(seq uint64) (p broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if seq+1 >= w.base && seq <= w.tail() {
		p = w.position(seq)
	}
	return p
}

// add appends the entries of a batch, and returns them as the window keeps them, appended to into.
func (w *window) add(batch []broker.Entry, into []*entry) []*entry {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		e := newEntry(w.tail()+1, &batch[i])
		e.follows(w.position(w.tail()))
		w.classify(e)
		e.receipt = w.receipts.of(batch[i].Record.Receipt)
		if w.epochs[len(w.epochs)-1].id != e.pos.Epoch {
			w.epochs = append(w.epochs, epoch{e.pos.Epoch, e.seq})
			w.forget()
		}
		if e.control != nil {
			w.steered = append(w.steered, e.seq)
		}
		w.chatter[e.share]++
		if w.redundant != nil && w.redundant(&batch[i]) {
			e.targets = nil
		}
		w.entries = append(w.entries, e)
		w.ids.add(e.ownID(), e.seq)
		w.bytes += e.held()
		for _, t := range e.targets {
			p := w.postings(t)
			p.seqs = append(p.seqs, e.seq)
		}
		if e.coalesce != "" {
			if old := w.newest[e.coalesce]; old != nil {
				old.superseded.Store(true)
			}
			w.newest[e.coalesce] = e
		}
		into = append(into, e)
	}
	w.trim(now)
	w.old = w.oldUntil(now)
	if w.awaited.Swap(false) {
		close(w.grown)
		w.grown = make(chan struct{})
	}
	return into
}

// notice adds a kind of notices, of which the window may have some already.
func (w *window) notice(k noticeKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices.add(k)
	for _, e := range w.entries {
		if e.share == noShare {
			w.classify(e)
			w.chatter[noShare]--
			w.chatter[e.share]++
		}
	}
}

// classify makes an entry that is a notice count as one. The caller holds mu, or is alone with the entry.
func (w *window) classify(e *entry) {
	if e.frame != nil && !e.public && w.notices.kindOf(e.targets) != nil {
		e.share = noticeShare
	}
}

// configure sets new bounds.
func (w *window) configure(h History) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history, w.old = h, 0
	w.trim(time.Now())
}

// first reports whether nothing older than e is kept.
func (w *window) first(e *entry) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.base >= e.seq // within tight bounds, e itself may have been trimmed
}

// expire trims entries that are too old. It returns when it has to be called again, or zero if the window is empty.
func (w *window) expire(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trim(now)
	if len(w.entries) == 0 {
		return time.Time{}
	}
	return w.entries[0].at.Add(w.history.Age)
}

// trim removes the oldest entries until every bound holds.
func (w *window) trim(now time.Time) {
	n := 0
	for ; n < len(w.entries); n++ {
		e := w.entries[n]
		if len(w.entries)-n <= w.history.Events && w.bytes <= w.history.Bytes && now.Sub(e.at) < w.history.Age {
			break
		}
		w.bytes -= e.held()
		w.ids.remove(e.ownID())
		w.chatter[e.share]--
		if w.newest[e.coalesce] == e {
			delete(w.newest, e.coalesce)
		}
		counts := !e.void(now) // an event that its publisher no longer wants sent leaves no gap
		for _, t := range e.targets {
			p := w.index[t]
			p.seqs = p.seqs[1:]
			if counts {
				p.trim(e)
			}
			if len(p.seqs) == 0 {
				w.link(p)
			}
		}
		w.base, w.start = e.seq+1, e.pos
		w.entries[n] = nil
	}
	w.entries = w.entries[n:]
	for len(w.steered) > 0 && w.steered[0] < w.base {
		w.steering, w.steered = w.steered[0], w.steered[1:]
	}
}

// readable returns the last place that a connection may read whose shard has come to a given place: none past an entry that
// steers connections and that the shard has yet to obey (see "Order" in control.go). If such an entry was trimmed already, the
// connection may read nothing new.
func (w *window) readable(shard uint64) uint64 {
	if shard < w.steering {
		return shard
	}
	if i := sort.Search(len(w.steered), func(i int) bool { return w.steered[i] > shard }); i < len(w.steered) {
		return w.steered[i] - 1
	}
	return w.tail()
}

// end returns the newest place and its position, with a channel that is closed when there is a newer one.
func (w *window) end() (uint64, broker.Position, <-chan struct{}) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	w.awaited.Store(true)
	return w.tail(), w.position(w.tail()), w.grown
}

// oldest returns the place before everything in the window, and its position.
func (w *window) oldest() (uint64, broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.base - 1, w.start
}

// meanSize returns the mean size of an entry, or that of an empty one if there is none.
func (w *window) meanSize() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.entries) == 0 {
		return entryOverhead
	}
	return w.bytes / int64(len(w.entries))
}

// aged returns the place before which positions have used up half of one of the window's bounds.
func (w *window) aged(now time.Time) uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	tail := w.tail()
	var seq uint64
	if half := uint64(w.history.Events+1) / 2; tail >= half {
		seq = tail - half + 1
	}
	if w.bytes > w.history.Bytes/2 {
		seq = max(seq, w.base+uint64(len(w.entries))/2)
	}
	return min(max(seq, w.oldUntil(now)), tail)
}

// oldUntil returns the place up to which entries have lived for half of the history's age.
func (w *window) oldUntil(now time.Time) uint64 {
	young := func(e *entry) bool { return now.Sub(e.at) < w.history.Age/2 }
	rest := w.entries[max(w.old, w.base-1)+1-w.base:]
	if len(rest) == 0 || young(rest[0]) {
		return w.tail() - uint64(len(rest))
	}
	return w.tail() - uint64(len(rest)) + uint64(sort.Search(len(rest), func(i int) bool { return young(rest[i]) }))
}
