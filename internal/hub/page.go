package hub

import (
	"container/heap"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// page is a part of the window that a connection is given to catch up.
type page struct {
	entries []*entry
	upTo    uint64          // everything that matches up to here is in the page or before it
	pos     broker.Position // of upTo
	tail    bool            // upTo is the end of the window
	stalled bool            // upTo is as far as the connection's shard allows
	cut     bool            // upTo is as far as one read looks for so many patterns
	gap     bool            // something before the page is gone, up to to
	to      broker.Position
	room    int64 // bytes left
}

// read returns the entries of an interest after a place, up to max bytes but at least one entry. shard is the place that the
// connection's shard has come to.
//
// An interest in few targets is looked up by merging their lists. An interest with patterns may have as many lists as the
// window has entries, and then looking at the next entries themselves is quicker. So read tries both in turn, each time with
// four times the effort. It takes only a constant factor longer than the quicker way, and holds the lock for at most lookChunk
// entries at a time.
func (w *window) read(in interest, after uint64, max int64, shard uint64) (pg page) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if after+1 < w.base {
		pg.gap = w.missed(in, func(m mark) bool { return m.seq > after })
		pg.to = w.start
		after = w.base - 1
		if pg.gap {
			pg.upTo, pg.pos = after, w.position(after)
			return pg
		}
	}
	pg.upTo, pg.pos, pg.room = after, w.position(after), max
	readable := w.readable(shard)
	limit := min(readable, in.reach(after))
	if after < limit { // false for most connections that are not new
		for most := fewLists; ; most *= 4 {
			if in.wide() && !w.look(in, &pg, min(limit, pg.upTo+uint64(most))) {
				return pg
			}
			if pg.upTo == limit {
				break
			}
			if m, ok := w.merge(in, pg.upTo, most); ok || !in.wide() {
				if !w.take(in, m, &pg, limit) {
					return pg
				}
				break
			}
		}
	}
	pg.tail, pg.cut = pg.upTo == w.tail(), pg.upTo < readable
	pg.stalled = !pg.tail && !pg.cut
	return pg
}

// put adds an entry to the page. It reports false if there is no room for it.
func (pg *page) put(e *entry) bool {
	if pg.room -= e.size(); pg.room < 0 && len(pg.entries) > 0 {
		return false
	}
	pg.upTo, pg.pos = e.seq, e.pos
	pg.entries = append(pg.entries, e)
	return true
}

// merge returns the lists of everything that an interest hears, from a place on. all is false if there are more than most
// lists.
func (w *window) merge(in interest, after uint64, most int) (m merge, all bool) {
	all = w.lists(in, func(p *postings) bool {
		if most--; most < 0 && in.wide() {
			return false
		}
		if i := sort.Search(len(p.seqs), func(i int) bool { return p.seqs[i] > after }); i < len(p.seqs) {
			m = append(m, p.seqs[i:])
		}
		return true
	})
	return m, all
}

// take fills the page from lists, up to a place, and reports whether everything fitted.
func (w *window) take(in interest, m merge, pg *page, limit uint64) bool {
	sifts := in.topics.matched() != nil
	heap.Init(&m)
	for len(m) > 0 && m[0][0] <= limit {
		seq := m[0][0]
		if m[0] = m[0][1:]; len(m[0]) > 0 {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
		if seq == pg.upTo { // the same entry may be in several lists
			continue
		}
		e := w.entries[seq-w.base]
		if sifts && !in.hears(e) {
			pg.upTo, pg.pos = e.seq, e.pos
		} else if !pg.put(e) {
			return false
		}
	}
	pg.upTo, pg.pos = limit, w.position(limit)
	return true
}

// look fills the page from the entries themselves, up to a place. It reports false if the page is to be sent first. It releases
// the lock now and then.
func (w *window) look(in interest, pg *page, limit uint64) bool {
	chunk := in.chunk()
	for n := 1; pg.upTo < limit; n++ {
		if n%chunk == 0 {
			w.mu.RUnlock()
			w.mu.RLock()
			if pg.upTo+1 < w.base { // trimmed meanwhile: the next read finds the gap
				return false
			}
		}
		e := w.entries[pg.upTo+1-w.base]
		if !in.hears(e) {
			pg.upTo, pg.pos = e.seq, e.pos
		} else if !pg.put(e) {
			return false
		}
	}
	return true
}

const (
	// fewLists is how many lists are merged before looking at the entries.
	fewLists = 64
	// lookChunk is how many entries are looked at before the lock is released for others. Each pattern of matchers counts.
	lookChunk = 32
	// maxLook is about how many times an entry is compared with a pattern of matchers in one read.
	maxLook = 8192
)

// wide reports whether an interest may have more than a few lists.
func (in interest) wide() bool {
	m := in.topics.matched()
	return m != nil && len(m.Patterns) > 0 || len(in.topics.patterned()) > 0 || len(in.topics.exact()) > fewLists
}

// reach returns the last place that is looked at in one read: with many patterns, others that the same goroutine writes to would wait.
func (in interest) reach(after uint64) uint64 {
	m := in.topics.matched()
	if m == nil || len(m.Patterns) == 0 {
		return math.MaxUint64
	}
	return after + uint64(maxLook/len(m.Patterns)) + 1
}

// chunk returns how many entries are looked at before the lock is released for others.
func (in interest) chunk() int {
	if m := in.topics.matched(); m != nil {
		return max(1, lookChunk/(1+len(m.Patterns)))
	}
	return lookChunk
}

// merge is a heap of ascending lists, ordered by their first elements.
type merge [][]uint64

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i][0] < m[j][0] }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.([]uint64)) }
func (m *merge) Pop() any          { old := *m; *m = old[:len(old)-1]; return nil }

// last returns the place and position before the last n entries of an interest. Like read, it tries entries and lists in turn.
func (w *window) last(in interest, n int) (uint64, broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	b := back{at: w.tail(), first: w.tail() + 1, left: n, now: time.Now()}
	for most := fewLists; b.left > 0 && b.at >= w.base; most *= 4 {
		if in.wide() {
			if w.lookBack(in, &b, most); b.left == 0 {
				break
			}
		}
		if seqs, all := w.newestOf(in, n, most, b.now); all {
			if seqs = seqs[max(0, len(seqs)-n):]; len(seqs) > 0 {
				b.first = seqs[0]
			}
			break
		}
	}
	seq := max(b.first, w.base) - 1 // the window may have been trimmed meanwhile
	return seq, w.position(seq)
}

// back is a walk through the window from its end.
type back struct {
	at    uint64 // everything after this place has been looked at
	first uint64 // the oldest match so far
	left  int    // how many more are wanted
	now   time.Time
}

// lookBack looks at up to n more entries, until no more are wanted. It releases the lock now and then.
func (w *window) lookBack(in interest, b *back, n int) {
	chunk := in.chunk()
	for ; n > 0 && b.left > 0 && b.at >= w.base; n-- {
		if n%chunk == 0 {
			w.mu.RUnlock()
			w.mu.RLock()
			if b.at < w.base {
				return
			}
		}
		if e := w.entries[b.at-w.base]; in.hears(e) && !e.hole() && !e.void(b.now) {
			b.first = e.seq
			b.left--
		}
		b.at--
	}
}

// newestOf returns the last n places of each list of an interest, merged and in order. all is false if there are more than most
// lists.
func (w *window) newestOf(in interest, n, most int, now time.Time) (seqs []uint64, all bool) {
	if in.wide() && !w.lists(in, func(*postings) bool { most--; return most >= 0 }) {
		return nil, false
	}
	sifts := in.topics.matched() != nil
	w.lists(in, func(p *postings) bool {
		found := 0
		for i := len(p.seqs) - 1; i >= 0 && found < n; i-- {
			if e := w.entries[p.seqs[i]-w.base]; !e.hole() && !e.void(now) && (!sifts || in.hears(e)) {
				seqs = append(seqs, e.seq)
				found++
			}
		}
		return true
	})
	slices.Sort(seqs)
	return slices.Compact(seqs), true
}
