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

// A client is told of the end when a tenth of the stream's life is left, but at most maxNotice before it; add spreads that by up
// to half as much again.
const maxNotice = 30 * time.Second

// deadlines has all streams of the process whose grants expire.
var deadlines expiry

// expiry ends streams when their grants do. A stream that never expires costs it nothing.
type expiry struct {
	mu    sync.Mutex // guards all below, and the fields of each deadline
	queue queue
	timer *time.Timer // for the first in the queue; nil if the queue is empty
}

// deadline is when a stream ends.
type deadline struct {
	conn  *hub.Conn
	next  time.Time // when the client is told of the end; once it has been told, the end itself
	end   time.Time
	place int // in the queue; -1 if it is not in the queue
}

// add schedules the end of a stream, and that the client is told of it before.
func (e *expiry) add(c *hub.Conn, end time.Time) *deadline {
	e.mu.Lock()
	defer e.mu.Unlock()
	notice := max(0, min(time.Until(end)/10, maxNotice))
	d := &deadline{conn: c, end: end}
	d.next = end.Add(-notice - rand.N(notice/2+1)) // clients that came at once must not all renew at once
	heap.Push(&e.queue, d)
	e.arm()
	return d
}

// remove forgets a deadline. It does nothing if d is nil, or no longer in the queue.
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

// arm sets the timer for the first deadline. The caller holds mu.
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

// run tells the clients and ends the streams that are due.
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
	for _, d := range end {
		d.conn.End(hub.GrantEnded, hub.Spread(len(end)))
	}
}

// queue is a heap with the earliest deadline first.
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
