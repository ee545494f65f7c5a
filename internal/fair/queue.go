// Package fair shares a limited number of places between the callers of many keys. A key with many callers does not keep the others waiting.
package fair

import (
	"container/heap"
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrFull is returned to a caller if too many wait already.
var ErrFull = errors.New("too many are waiting")

// Queue hands out places. Callers wait in lines, one for each key, oldest first. A free place goes to the line that has the fewest places; of
// several such lines, to the one that was served longest ago. So a key may have all the places while it is alone, and each of several keys
// has a share, however many of its callers wait.
type Queue struct {
	// mu guards what follows.
	mu      sync.Mutex
	free    int // free places; while there are any, no caller waits
	room    int // how many more callers may wait
	lines   map[string]*line
	waiting lineHeap // the lines with callers
	turns   uint64   // how often a place went to a caller that waited
}

// line has the places of a key, and its callers that wait.
type line struct {
	key     string
	taken   int       // how many places it has
	callers list.List // of *caller, oldest first
	turn    uint64    // the turn in which it was served last
	index   int       // in the heap; -1 if no caller waits
}

// caller waits for a place.
type caller struct {
	place chan error // receives nil for a place, or ErrFull
	line  *line
	at    *list.Element // in line.callers; nil once it no longer waits
}

// New returns a queue with a number of places. At most room callers wait: if one more comes, the newest caller of the longest line is
// turned away.
func New(places, room int) *Queue {
	return &Queue{free: places, room: room, lines: map[string]*line{}}
}

// Enter waits for a place, which the caller gives back by Leave. If it returns an error, which is ErrFull or that of ctx, there is no place
// to give back.
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
	if c.at == nil { // it was served or turned away just now
		if <-c.place == nil {
			q.leave(c.line)
		}
	} else {
		q.remove(c)
	}
	return ctx.Err()
}

// join takes a free place, or returns a caller that waits for one, or ErrFull.
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

// Leave gives back a place of a key.
func (q *Queue) Leave(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leave(q.lines[key])
}

// leave hands a place of a line to the next caller. The caller of leave holds mu.
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

// remove takes a caller out of its line. The caller of remove holds mu.
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

// forget drops a line that has neither places nor callers. Its caller holds mu.
func (q *Queue) forget(l *line) {
	if l.taken == 0 && l.callers.Len() == 0 {
		delete(q.lines, l.key)
	}
}

// Keys returns how many keys have places or waiting callers.
func (q *Queue) Keys() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines)
}

// lineHeap implements heap.Interface. The line with the fewest places comes first.
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
