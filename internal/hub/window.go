package hub

import (
	"container/heap"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// window is the newest part of the log, encoded and indexed by target.
type window struct {
	mu sync.RWMutex // guards all below

	entries []*entry        // by seq, without holes: entries[0].seq == base
	base    uint64          // seq of the oldest entry kept, or of the next to come
	start   broker.Position // of the entry before base
	bytes   int64
	newest  map[string]*entry // by coalesce key
	epochs  []epoch           // oldest first; the last is that of the log's present life

	index  map[broker.Target]*postings
	topics tree[*postings] // of the index those that have entries

	// What was trimmed, for each target, so that a gap is said only where something matching may be gone.
	// Targets without entries stand in a list, in the order in which they lost their last; they may take
	// maxQuiet bytes, and past that the first one's mark counts for every target.
	quietHead, quietTail *postings
	quietTopics          tree[*postings]
	quiet                int64
	mark                 mark

	history History
	grown   chan struct{} // closed and replaced when the tail moves
}

// epoch is one life of the log, as far as the window has seen it.
type epoch struct {
	id    uint64
	first uint64 // seq of its first entry
}

// mark is the highest place trimmed.
type mark struct {
	seq uint64
	pos broker.Position
}

// postings are the entries of one target, oldest first.
type postings struct {
	target     broker.Target
	seqs       []uint64
	trimmed    mark
	prev, next *postings // in the list of the quiet
}

// maxQuiet bounds, in bytes, the targets that are remembered for what was trimmed of them.
const maxQuiet = 16 << 20

// memory is about what the postings take while they have no entries.
func (p *postings) memory() int64 {
	n := int64(len(p.target.Name)) + 256
	if p.target.Kind == broker.Topic {
		n += 256 * int64(strings.Count(p.target.Name, "/")+1) // a node of the tree for each segment
	}
	return n
}

// maxEpochs bounds the past lives whose order is remembered.
const maxEpochs = 16

func newWindow(h History) *window {
	return &window{
		base: 1, history: h, grown: make(chan struct{}),
		index: map[broker.Target]*postings{}, newest: map[string]*entry{},
	}
}

// begin sets where the log goes on from; what came before is gone as far as this window knows.
func (w *window) begin(p broker.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start, w.mark = p, mark{seq: w.base - 1, pos: p}
	w.epochs = append(w.epochs, epoch{p.Epoch, w.base})
}

func (w *window) tail() uint64 { return w.base + uint64(len(w.entries)) - 1 }

// position is where all up to seq has been seen. seq must not be older than the window, nor newer.
func (w *window) position(seq uint64) broker.Position {
	if seq < w.base {
		return w.start
	}
	return w.entries[seq-w.base].pos
}

// positionOf is position for a place that may have been trimmed: the zero Position where it is no longer known.
func (w *window) positionOf(seq uint64) (p broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if seq+1 >= w.base && seq <= w.tail() {
		p = w.position(seq)
	}
	return p
}

// add appends the entries that a broker delivered, and returns them as the window keeps them.
func (w *window) add(batch []broker.Entry, into []*entry) []*entry {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		e := newEntry(w.tail()+1, &batch[i])
		if w.epochs[len(w.epochs)-1].id != e.pos.Epoch {
			w.epochs = append(w.epochs, epoch{e.pos.Epoch, e.seq})
			if len(w.epochs) > maxEpochs {
				w.epochs = slices.Delete(w.epochs, 0, 1)
			}
		}
		w.entries = append(w.entries, e)
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
	close(w.grown)
	w.grown = make(chan struct{})
	return into
}

// postings returns the list of a target that is about to get an entry.
func (w *window) postings(t broker.Target) *postings {
	p := w.index[t]
	if p == nil {
		p = &postings{target: t}
		w.index[t] = p
	} else if len(p.seqs) == 0 {
		w.unlink(p)
	}
	if len(p.seqs) == 0 && t.Kind == broker.Topic {
		w.topics.put(t.Name, p)
	}
	return p
}

// configure sets other bounds.
func (w *window) configure(h History) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = h
	w.trim(time.Now())
}

// first reports whether nothing older than e is kept.
func (w *window) first(e *entry) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.base >= e.seq // where the bounds are tight, e itself may be gone already
}

// expire trims what is too old, and returns when it has to be called again: zero for never.
func (w *window) expire(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trim(now)
	if len(w.entries) == 0 {
		return time.Time{}
	}
	return w.entries[0].at.Add(w.history.Age)
}

// trim lets the oldest entries go until every bound holds.
func (w *window) trim(now time.Time) {
	n := 0
	for ; n < len(w.entries); n++ {
		e := w.entries[n]
		if len(w.entries)-n <= w.history.Events && w.bytes <= w.history.Bytes && now.Sub(e.at) < w.history.Age {
			break
		}
		w.bytes -= e.held()
		if w.newest[e.coalesce] == e {
			delete(w.newest, e.coalesce)
		}
		counts := !e.void(now) // nobody misses what its publisher does not want sent any more
		for _, t := range e.targets {
			p := w.index[t]
			p.seqs = p.seqs[1:]
			if counts {
				p.trimmed = mark{e.seq, e.pos}
			}
			if len(p.seqs) == 0 {
				w.link(p)
			}
		}
		w.base, w.start = e.seq+1, e.pos
		w.entries[n] = nil
	}
	w.entries = w.entries[n:]
}

// link puts a target without entries at the end of the quiet ones.
func (w *window) link(p *postings) {
	p.seqs = nil
	p.prev, p.next = w.quietTail, nil
	if w.quietTail != nil {
		w.quietTail.next = p
	} else {
		w.quietHead = p
	}
	w.quietTail = p
	if p.target.Kind == broker.Topic {
		w.topics.remove(p.target.Name)
		w.quietTopics.put(p.target.Name, p)
	}
	for w.quiet += p.memory(); w.quiet > maxQuiet; {
		oldest := w.quietHead
		w.unlink(oldest)
		if oldest.trimmed.seq > w.mark.seq {
			w.mark = oldest.trimmed
		}
		delete(w.index, oldest.target)
	}
}

func (w *window) unlink(p *postings) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		w.quietHead = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		w.quietTail = p.prev
	}
	p.prev, p.next = nil, nil
	w.quiet -= p.memory()
	if p.target.Kind == broker.Topic {
		w.quietTopics.remove(p.target.Name)
	}
}

// lists visits the postings of all that an interest hears.
func (w *window) lists(in *interest, visit func(*postings)) {
	for _, t := range in.targets {
		if p := w.index[t]; p != nil {
			visit(p)
		}
	}
	for _, pattern := range in.patterns {
		w.topics.covered(pattern, visit)
	}
}

// missed reports whether something that matches an interest may have been trimmed behind a place, which
// newer tells to be older than a mark.
func (w *window) missed(in *interest, newer func(mark) bool) bool {
	gone := newer(w.mark)
	look := func(p *postings) { gone = gone || p.trimmed.seq > 0 && newer(p.trimmed) }
	w.lists(in, look)
	for _, pattern := range in.patterns {
		w.quietTopics.covered(pattern, look)
	}
	return gone
}

// page is a part of what an interest has to catch up.
type page struct {
	entries []*entry
	upTo    uint64 // all that matches up to here is in the page or before it
	tail    bool   // upTo is the window's end
	gap     bool   // something before the page is gone, up to `to`
	to      broker.Position
}

// read returns what matches an interest behind after, up to max bytes but at least one entry.
func (w *window) read(in *interest, after uint64, max int64) (pg page) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if after+1 < w.base {
		pg.gap = w.missed(in, func(m mark) bool { return m.seq > after })
		pg.to = w.start
		after = w.base - 1
		if pg.gap {
			pg.upTo = after
			return pg
		}
	}
	if after == w.tail() { // as most who are new: no pattern is to be looked up
		pg.upTo, pg.tail = after, true
		return pg
	}
	var m merge
	w.lists(in, func(p *postings) {
		if i := sort.Search(len(p.seqs), func(i int) bool { return p.seqs[i] > after }); i < len(p.seqs) {
			m = append(m, p.seqs[i:])
		}
	})
	heap.Init(&m)
	var size int64
	for len(m) > 0 {
		seq := m[0][0]
		if m[0] = m[0][1:]; len(m[0]) > 0 {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
		if seq == after {
			continue // another target of the same entry
		}
		e := w.entries[seq-w.base]
		if size += e.size(); size > max && len(pg.entries) > 0 {
			pg.upTo = after
			return pg
		}
		after = seq
		pg.entries = append(pg.entries, e)
	}
	pg.upTo, pg.tail = w.tail(), true
	return pg
}

// merge is a heap of ascending lists, by their heads.
type merge [][]uint64

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i][0] < m[j][0] }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.([]uint64)) }
func (m *merge) Pop() any          { old := *m; *m = old[:len(old)-1]; return nil }

// last returns the place before the last n entries that match an interest.
func (w *window) last(in *interest, n int) (uint64, broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	seq := w.tail()
	if n == 0 {
		return seq, w.position(seq)
	}
	now := time.Now()
	var seqs []uint64
	w.lists(in, func(p *postings) {
		found := 0
		for i := len(p.seqs) - 1; i >= 0 && found < n; i-- {
			if e := w.entries[p.seqs[i]-w.base]; !e.hole() && !e.void(now) {
				seqs = append(seqs, e.seq)
				found++
			}
		}
	})
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	if seqs = seqs[max(0, len(seqs)-n):]; len(seqs) > 0 {
		seq = seqs[0] - 1
	}
	return seq, w.position(seq)
}

// place is how a position stands to the window.
type place uint8

const (
	within  place = iota // it is the window's start, or one of its entries
	before               // older than the window
	behind               // newer than the window's end
	foreign              // of no life of the log that the window has seen, or never handed out
)

// locate finds a position; seq counts only where it is within.
func (w *window) locate(p broker.Position) (seq uint64, at place) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if p == w.start {
		return w.base - 1, within
	}
	i := slices.IndexFunc(w.epochs, func(e epoch) bool { return e.id == p.Epoch })
	if i < 0 {
		return 0, foreign
	}
	lo, hi := w.epochs[i].first, w.tail()+1
	if i+1 < len(w.epochs) {
		hi = w.epochs[i+1].first
	}
	lo = max(lo, w.base)
	if lo >= hi { // nothing of that life is left, or nothing has come yet
		if i == len(w.epochs)-1 && w.start.Epoch == p.Epoch && p.Compare(w.start) > 0 {
			return 0, behind
		}
		return 0, before
	}
	run := w.entries[lo-w.base : hi-w.base]
	n := sort.Search(len(run), func(i int) bool { return run[i].pos.Compare(p) >= 0 })
	switch {
	case n < len(run) && run[n].pos == p:
		return lo + uint64(n), within
	case n < len(run) && run[n].pos.Compare(p) == 0:
		return 0, foreign // another entry stands at that number
	case n == len(run) && i == len(w.epochs)-1:
		return 0, behind
	case n == 0:
		return 0, before
	}
	return 0, foreign
}

// trimmedSince reports whether something that matches an interest may have been trimmed behind p, a
// position older than the window, and where all is complete again.
func (w *window) trimmedSince(in *interest, p broker.Position) (gone bool, seq uint64, to broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	rank := w.rank(p.Epoch)
	gone = w.missed(in, func(m mark) bool {
		if m.pos.Epoch == p.Epoch {
			return m.pos.Compare(p) > 0
		}
		return rank < 0 || w.rank(m.pos.Epoch) > rank
	})
	return gone, w.base - 1, w.start
}

// rank orders the lives of the log; one that was forgotten is older than all others.
func (w *window) rank(id uint64) int {
	return slices.IndexFunc(w.epochs, func(e epoch) bool { return e.id == id })
}

// end is the newest place, with a channel that is closed when there is a newer one.
func (w *window) end() (uint64, broker.Position, <-chan struct{}) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.tail(), w.position(w.tail()), w.grown
}

// oldest is the place before all that the window holds.
func (w *window) oldest() (uint64, broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.base - 1, w.start
}

// aged is the place before which a position has used up half of one of the window's bounds.
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
	old := sort.Search(len(w.entries), func(i int) bool { return now.Sub(w.entries[i].at) < w.history.Age/2 })
	return min(max(seq, w.base+uint64(old)-1), tail)
}
