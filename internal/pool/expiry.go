package pool

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const (
	// maxNotice is how long before its end a stream is told of it, at most; a tenth of its life otherwise.
	maxNotice = 30 * time.Second
	// returnStep is by how much each stream that ends in the same moment spreads the times to come back, and
	// maxReturn bounds it.
	returnStep = 2 * time.Millisecond
	maxReturn  = 10 * time.Second
)

// deadlines are those of all streams of the process that expire.
var deadlines expiry

// expiry ends streams when their grants do. Streams that never expire cost it nothing.
type expiry struct {
	mu    sync.Mutex
	queue queue
	timer *time.Timer // for the first of the queue
}

// deadline is what is next for a stream: that it be told, or that it end.
type deadline struct {
	conn  *hub.Conn
	next  time.Time
	end   time.Time
	place int // in the queue; -1: not in it
}

// add ends a stream at a time, and has it told before.
func (e *expiry) add(c *hub.Conn, end time.Time) *deadline {
	e.mu.Lock()
	defer e.mu.Unlock()
	notice := max(0, min(time.Until(end)/10, maxNotice))
	d := &deadline{conn: c, end: end}
	d.next = end.Add(-notice - rand.N(notice/2+1)) // not all that came at once are to renew at once
	heap.Push(&e.queue, d)
	e.arm()
	return d
}

// remove forgets a stream; a nil deadline is none.
func (e *expiry) remove(d *deadline) {
	if d == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.place >= 0 {
		heap.Remove(&e.queue, d.place)
		e.arm()
	}
}

// arm sets the timer to the first deadline. The caller holds mu.
func (e *expiry) arm() {
	switch {
	case len(e.queue) == 0 && e.timer != nil:
		e.timer.Stop()
		e.timer = nil
	case len(e.queue) > 0 && e.timer == nil:
		e.timer = time.AfterFunc(time.Until(e.queue[0].next), e.run)
	case len(e.queue) > 0:
		e.timer.Reset(time.Until(e.queue[0].next))
	}
}

// run does what is due.
func (e *expiry) run() {
	now := time.Now()
	var tell, end []*deadline
	e.mu.Lock()
	for len(e.queue) > 0 && !e.queue[0].next.After(now) {
		d := e.queue[0]
		if d.next.Before(d.end) {
			d.next = d.end
			heap.Fix(&e.queue, 0)
			tell = append(tell, d)
		} else {
			heap.Pop(&e.queue)
			end = append(end, d)
		}
	}
	e.arm()
	e.mu.Unlock()

	for _, d := range tell {
		left := max(d.end.Sub(now), 0)
		d.conn.Push(sse.Event{Type: "sse:expiring", Data: fmt.Appendf(nil, `{"in":%d}`, left.Milliseconds())}.Append(nil))
	}
	spread := min(time.Duration(len(end))*returnStep, maxReturn)
	for _, d := range end {
		retry := time.Second + rand.N(time.Second+spread)
		d.conn.End(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds()))
	}
}

// queue is a heap, the earliest first.
type queue []*deadline

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	d := x.(*deadline)
	d.place = len(*q)
	*q = append(*q, d)
}

func (q *queue) Pop() any {
	old := *q
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*q, d.place = old[:len(old)-1], -1
	return d
}
