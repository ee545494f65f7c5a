package hub

import (
	"container/heap"
	"slices"
	"sort"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// page is a part of what an interest has to catch up.
type page struct {
	entries []*entry
	upTo    uint64          // all that matches up to here is in the page or before it
	pos     broker.Position // of upTo
	tail    bool            // upTo is the window's end
	stalled bool            // upTo is as far as the connection's shard lets it
	gap     bool            // something before the page is gone, up to `to`
	to      broker.Position
}

// read returns what matches an interest behind after, up to max bytes but at least one entry, for a connection whose
// shard has come to a place.
func (w *window) read(in interest, after uint64, max int64, shard uint64) (pg page) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	defer func() { pg.pos = w.position(pg.upTo) }()
	if after+1 < w.base {
		pg.gap = w.missed(in, func(m mark) bool { return m.seq > after })
		pg.to = w.start
		after = w.base - 1
		if pg.gap {
			pg.upTo = after
			return pg
		}
	}
	limit := w.readable(shard)
	if after >= limit { // as most who are new: no pattern is to be looked up
		pg.upTo, pg.tail, pg.stalled = after, after == w.tail(), after < w.tail()
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
		if seq > limit {
			break
		}
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
	pg.upTo, pg.tail, pg.stalled = limit, limit == w.tail(), limit < w.tail()
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
func (w *window) last(in interest, n int) (uint64, broker.Position) {
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
