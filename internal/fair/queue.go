// Package fair shares a limited number of places between callers, so that none keeps the others waiting by its number.
package fair

import (
	"container/heap"
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrFull is returned to a caller that would be one too many to wait.
var ErrFull = errors.New("too many are waiting")

// Queue hands out places. Callers wait in lines, one for each key, oldest first; a place that becomes free goes to the line
// that has the fewest, and of those with as few to the one that has waited longest for its turn. So one key alone may have
// all the places, and of several each has a share, however many of its callers wait.
type Queue struct {
	mu      sync.Mutex // guards all below
	free    int        // places; while there are any, nobody waits
	room    int        // for callers that wait
	lines   map[string]*line
	waiting lineHeap // the lines in which somebody waits
	turns   uint64
}

// line is what a key has and waits for.
type line struct {
	key     string
	taken   int       // places
	callers list.List // of *caller, oldest first
	turn    uint64    // when it was served last
	index   int       // in the heap
}

type caller struct {
	place chan error // gets nil with a place, or ErrFull
	line  *line
	at    *list.Element
}

// New returns a queue for a number of places. At most room callers wait; past that, the newest of the longest line is
// turned away.
func New(places, room int) *Queue {
	return &Queue{free: places, room: room, lines: map[string]*line{}}
}

// Enter waits for a place, which Leave gives back. Without a place it returns ErrFull or the context's error.
func (q *Queue) Enter(ctx context.Context, key string) error {
	c, err := q.join(key)
	if c == nil {
		return err
	}
	select {
	case err := <-c.place:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.at == nil { // it was served or turned away in this moment
		if <-c.place == nil {
			q.leave(c.line)
		}
	} else {
		q.remove(c)
	}
	return ctx.Err()
}

// join takes a place at once, or returns a caller that waits for one.
func (q *Queue) join(key string) (*caller, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[key]
	if l == nil {
		l = &line{key: key, index: -1}
		q.lines[key] = l
	}
	if q.free > 0 {
		q.free--
		l.taken++
		return nil, nil
	}
	if q.room == 0 {
		longest := l
		for _, other := range q.waiting {
			if other.callers.Len() > longest.callers.Len() {
				longest = other
			}
		}
		if longest == l {
			q.forget(l)
			return nil, ErrFull
		}
		last := longest.callers.Back().Value.(*caller)
		q.remove(last)
		last.place <- ErrFull
	}
	q.room--
	c := &caller{place: make(chan error, 1), line: l}
	c.at = l.callers.PushBack(c)
	if l.index < 0 {
		heap.Push(&q.waiting, l)
	}
	return c, nil
}

// Leave gives back a place.
func (q *Queue) Leave(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leave(q.lines[key])
}

func (q *Queue) leave(l *line) {
	l.taken--
	if l.index >= 0 {
		heap.Fix(&q.waiting, l.index)
	}
	q.forget(l)
	if len(q.waiting) == 0 {
		q.free++
		return
	}
	next := q.waiting[0]
	c := next.callers.Front().Value.(*caller)
	q.turns++
	next.taken, next.turn = next.taken+1, q.turns
	q.remove(c)
	c.place <- nil
}

// remove takes a caller out of its line.
func (q *Queue) remove(c *caller) {
	l := c.line
	l.callers.Remove(c.at)
	c.at = nil
	q.room++
	if l.callers.Len() == 0 {
		heap.Remove(&q.waiting, l.index)
	} else {
		heap.Fix(&q.waiting, l.index)
	}
	q.forget(l)
}

// forget drops a line that has no place and waits for none.
func (q *Queue) forget(l *line) {
	if l.taken == 0 && l.callers.Len() == 0 {
		delete(q.lines, l.key)
	}
}

// Keys returns how many keys have a place or wait for one.
func (q *Queue) Keys() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines)
}

// lineHeap implements heap.Interface: first comes the line that has the fewest places.
type lineHeap []*line

func (h lineHeap) Len() int { return len(h) }

func (h lineHeap) Less(i, j int) bool {
	if h[i].taken != h[j].taken {
		return h[i].taken < h[j].taken
	}
	return h[i].turn < h[j].turn
}

func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *lineHeap) Push(x any) {
	l := x.(*line)
	l.index = len(*h)
	*h = append(*h, l)
}

func (h *lineHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.index = -1
	return l
}
