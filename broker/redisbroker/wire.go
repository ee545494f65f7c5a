package redisbroker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// wire is one connection of a link. One goroutine writes, another reads.
type wire struct {
	engine *engine
	conn   *conn
	flying chan *call // sent and not yet answered, in order
	over   context.Context
	end    context.CancelCauseFunc

	mu     sync.Mutex // guards all below
	owed   int        // answers that are to come
	silent *time.Timer
}

var (
	errSilent  = errors.New("it does not answer")
	errUnasked = errors.New("it sent an answer without a question")
)

func newWire(ctx context.Context, e *engine, c *conn) *wire {
	w := &wire{engine: e, conn: c, flying: make(chan *call, depth)}
	w.over, w.end = context.WithCancelCause(ctx)
	w.silent = time.AfterFunc(silence, func() { w.end(errSilent) })
	w.silent.Stop()
	return w
}

// run sends the calls of the queue and settles those that are answered, until the connection breaks or ctx is done. It returns
// a call that it took but did not send, if there is one.
func (w *wire) run(queue <-chan *call, next *call) (left *call) {
	stop := context.AfterFunc(w.over, w.conn.close)
	var work sync.WaitGroup
	work.Go(w.read)
	if w.engine.sentinel != "" {
		work.Go(func() { w.engine.watch(w.over, w.conn.addr, w.end) })
	}
	left = w.write(queue, next)
	work.Wait()
	stop()
	w.conn.close()
	w.silent.Stop()
	close(w.flying)
	for c := range w.flying {
		c.settle(nil, context.Cause(w.over))
	}
	return left
}

// write sends all calls that wait, and then flushes once.
func (w *wire) write(queue <-chan *call, next *call) (left *call) {
	for {
		for next != nil {
			if w.over.Err() != nil {
				return next
			}
			if !w.send(next) {
				return nil
			}
			select {
			case next = <-queue:
			default:
				next = nil
			}
		}
		if !w.flush() {
			return nil
		}
		select {
		case next = <-queue:
		case <-w.over.Done():
			return nil
		}
	}
}

// send reports whether more can be sent.
func (w *wire) send(c *call) bool {
	if !c.state.CompareAndSwap(queued, sent) {
		return true // it was given up
	}
	w.owe(1)
	select {
	case w.flying <- c:
	default: // what has not been flushed is never answered
		if !w.flush() {
			c.settle(nil, context.Cause(w.over))
			return false
		}
		select {
		case w.flying <- c:
		case <-w.over.Done():
			c.settle(nil, context.Cause(w.over))
			return false
		}
	}
	if err := w.conn.Send(c.command, c.args...); err != nil {
		w.end(err)
		return false
	}
	return true
}

func (w *wire) flush() bool {
	if err := w.conn.Flush(); err != nil {
		w.end(err)
		return false
	}
	return true
}

// read settles calls with the answers. It also reads while no answer is owed, to notice the end of the connection.
func (w *wire) read() {
	for {
		reply, err := w.conn.Receive()
		if _, ok := err.(redis.Error); err != nil && !ok {
			w.end(err)
			return
		}
		select {
		case c := <-w.flying:
			w.owe(-1)
			c.settle(reply, err)
		default:
			w.end(errUnasked)
			return
		}
		if w.engine.elsewhere(err) {
			w.end(err)
			return
		}
	}
}

// owe notes that n more answers are owed. If the server owes answers and stays silent for too long, the connection ends.
func (w *wire) owe(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owed += n
	switch {
	case w.owed == 0:
		w.silent.Stop()
	case n < 0, w.owed == n:
		w.silent.Reset(silence)
	}
}
