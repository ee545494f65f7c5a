package hub

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/sse-push/caddy-sse-push/broker"
)

// locate finds a position. seq is set only if the position is within the window, or between: it is then the place after which a
// stream goes on.
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
			return 0, newer
		}
		return 0, older
	}
	run := w.entries[lo-w.base : hi-w.base]
	n := sort.Search(len(run), func(i int) bool { return run[i].pos.Compare(p) >= 0 })
	switch {
	case n < len(run) && run[n].pos == p:
		return lo + uint64(n), within
	case n < len(run) && run[n].pos.Compare(p) == 0: // another entry has that number, or p is a number without a check
		return lo + uint64(n), between
	case n == len(run) && i == len(w.epochs)-1:
		return 0, newer
	case n == 0 && w.start.Epoch == p.Epoch && p.Compare(w.start) < 0:
		return 0, older
	}
	return lo + uint64(n) - 1, between
}

// seek asks the broker for the place of a position in a life of the log that the window has not seen. Either it is older than
// the window, or it is newer, as this node lags behind a log that has begun a new life. In the second case seek waits until the
// window knows that life. The broker must know the position.
func (h *Hub) seek(ctx context.Context, p broker.Position) (seq uint64, at place, err error) {
	for {
		tail, end, grown := h.window.end()
		if seq, at = h.window.locate(p); at != foreign {
			return seq, at, nil
		}
		next, err := h.broker.Read(ctx, p, end, 1)
		switch {
		case err == nil && len(next) > 0:
			seq, at = h.window.locate(next[0].Position)
			if oldest, _ := h.window.oldest(); at == within && seq > oldest {
				return seq - 1, within, nil
			}
			return 0, older, nil
		case err == nil:
			next, err = h.broker.Read(ctx, end, p, 1)
			if err == nil && len(next) == 0 {
				return tail, within, nil
			}
		}
		// If the log no longer knows the window's end, the window is about to learn of it.
		if err != nil && !errors.Is(err, broker.ErrLost) && !errors.Is(err, broker.ErrUnknown) && !errors.Is(err, broker.ErrTrimmed) {
			return 0, foreign, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, foreign, ErrNotReady
		}
	}
}

// trimmedSince reports whether something of an interest may have been trimmed after p, a position older than the window. seq
// and to are the place and position from which the window is complete.
func (w *window) trimmedSince(in interest, p broker.Position) (gone bool, seq uint64, to broker.Position) {
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

// rank orders the lives of the log. It returns -1 for one that the window does not know.
func (w *window) rank(id uint64) int {
	return slices.IndexFunc(w.epochs, func(e epoch) bool { return e.id == id })
}

// named returns the oldest entry that has a publisher's id and that an interest hears. If it finds none soon, it returns the oldest with
// that id; nil for none.
func (w *window) named(in interest, id string) *entry {
	w.mu.RLock()
	known := w.ids != nil
	w.mu.RUnlock()
	if !known {
		w.mu.Lock()
		if w.ids == nil {
			w.ids = newIDs()
			for _, e := range w.entries {
				w.ids.add(e.ownID(), e.seq)
			}
		}
		w.mu.Unlock()
	}
	w.mu.RLock()
	var found []*entry
	for _, seq := range w.ids.places(id) {
		if e := w.entries[seq-w.base]; string(e.ownID()) == id {
			found = append(found, e)
		}
	}
	w.mu.RUnlock()
	if len(found) == 0 {
		return nil
	}
	effort := 0
	for _, e := range found {
		if in.hears(e) {
			return e
		}
		if effort += in.effort(e); effort > maxLook {
			break
		}
	}
	return found[0]
}
