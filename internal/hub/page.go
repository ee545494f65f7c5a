package hub

import (
	"container/heap"
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
	cut     bool            // upTo is as far as one read looks for such matchers
	gap     bool            // something before the page is gone, up to to
	to      broker.Position
	room    int64 // bytes left
	effort  int   // about how long the matchers have taken, in tenths of a microsecond
}

// read returns the entries of an interest after a place, up to max bytes but at least one entry. shard is the place that the
// connection's shard has come to.
//
// An interest in few targets is looked up by merging their lists. An interest with patterns may have as many lists as the
// window has entries, and then looking at the next entries themselves is quicker. So read tries both in turn, each time with
// four times the effort. It takes only a constant factor longer than the quicker way, and gives others a turn at the lock after
// lookChunk entries.
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
	limit := w.readable(shard)
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
	pg.tail = pg.upTo == w.tail()
	pg.stalled = !pg.tail
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

// take fills the page from lists, up to a place, and reports whether everything fitted. Matchers do not hear all of their lists.
func (w *window) take(in interest, m merge, pg *page, limit uint64) bool {
	sifts := in.topics.matched() != nil
	var some []*entry
	heap.Init(&m)
	for last := pg.upTo; len(m) > 0 && m[0][0] <= limit; {
		seq := m[0][0]
		if m[0] = m[0][1:]; len(m[0]) > 0 {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
		if seq == last { // the same entry may be in several lists
			continue
		}
		last = seq
		switch e := w.entries[seq-w.base]; {
		case !sifts && !pg.put(e):
			return false
		case sifts:
			if some = append(some, e); len(some) == lookChunk {
				if !w.sift(in, pg, some) || pg.upTo+1 < w.base {
					return false
				}
				some = some[:0]
			}
		}
	}
	if len(some) > 0 && !w.sift(in, pg, some) || limit+1 < w.base {
		return false
	}
	pg.upTo, pg.pos = limit, w.position(limit)
	return true
}

// look fills the page from the entries themselves, up to a place. It reports false if the page is to be sent first.
func (w *window) look(in interest, pg *page, limit uint64) bool {
	var some [lookChunk]*entry
	for pg.upTo < limit {
		n := copy(some[:min(lookChunk, limit-pg.upTo)], w.entries[pg.upTo+1-w.base:])
		if !w.sift(in, pg, some[:n]) || pg.upTo+1 < w.base { // trimmed meanwhile: the next read finds the gap
			return false
		}
	}
	return true
}

// sift adds those of some entries to the page that an interest hears, without the lock, as matchers may take long. It reports false if the
// page is to be sent first.
func (w *window) sift(in interest, pg *page, some []*entry) bool {
	w.mu.RUnlock()
	defer w.mu.RLock()
	for _, e := range some {
		if pg.cut = pg.effort > maxLook; pg.cut {
			return false
		}
		pg.effort += in.effort(e)
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
	// lookChunk is how many entries are looked at before others get a turn at the lock.
	lookChunk = 32
	// maxLook is about how long the matchers of a client may take in one read, in tenths of a microsecond: others that the same goroutine
	// writes to would wait.
	maxLook = 16 << 10
)

// effort returns about how long the matchers of an interest take to look at an entry, in tenths of a microsecond.
func (in interest) effort(e *entry) int {
	if m := in.topics.matched(); m != nil {
		return len(e.targets) * m.effort
	}
	return 0
}

// wide reports whether an interest may have more than a few lists.
func (in interest) wide() bool {
	m := in.topics.matched()
	return m != nil && len(m.Patterns) > 0 || len(in.topics.patterned()) > 0 || len(in.topics.exact()) > fewLists
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
	for ; n > 0 && b.left > 0 && b.at >= w.base; n-- {
		if n%lookChunk == 0 {
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
	w.lists(in, func(p *postings) bool {
		found := 0
		for i := len(p.seqs) - 1; i >= 0 && found < n; i-- {
			if e := w.entries[p.seqs[i]-w.base]; !e.hole() && !e.void(now) {
				seqs = append(seqs, e.seq)
				found++
			}
		}
		return true
	})
	slices.Sort(seqs)
	return slices.Compact(seqs), true
}
