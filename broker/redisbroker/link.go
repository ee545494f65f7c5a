package redisbroker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// depth is how many commands may wait to be sent, and how many may wait for their answers.
	depth = 1024
	// answer is how long a script may take to answer.
	answer = 5 * time.Second
)

// link is one connection that many callers share: commands that are sent at the same time go out together. It connects when it
// is first used, and again after it has broken.
type link struct {
	engine engine
	queue  chan *call
	life   context.Context
	end    context.CancelFunc
	work   sync.WaitGroup

	mu   sync.Mutex // guards all below
	wire *wire      // nil while there is no connection
	why  error      // why there is none; nil: none was needed
}

// call is one command on its way.
type call struct {
	command string
	args    []any
	state   atomic.Int32
	done    chan struct{} // closed when it is settled
	reply   any
	err     error
}

// The states of a call.
const (
	queued int32 = iota
	sent
	dropped // given up before it was sent
)

func (c *call) settle(reply any, err error) {
	c.reply, c.err = reply, err
	close(c.done)
}

func newLink(e engine) *link {
	l := &link{engine: e, queue: make(chan *call, depth)}
	l.life, l.end = context.WithCancel(context.Background())
	l.work.Go(l.run)
	return l
}

// close ends the link after the last call.
func (l *link) close() {
	l.end()
	l.work.Wait()
}

// run connects when there is something to send.
func (l *link) run() {
	var wait backoff
	var next *call
	for {
		if next == nil {
			select {
			case next = <-l.queue:
			case <-l.life.Done():
			}
		}
		if l.life.Err() != nil {
			l.refuse(next, broker.ErrClosed)
			return
		}
		c, err := l.engine.connect(l.life)
		if err != nil {
			l.set(nil, err)
			l.refuse(next, err)
			next = nil
			_ = wait.sleep(l.life)
			continue
		}
		wait = backoff{}
		w := newWire(l.life, &l.engine, c)
		l.set(w, nil)
		next = w.run(l.queue, next)
		l.set(nil, context.Cause(w.over))
	}
}

func (l *link) set(w *wire, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wire, l.why = w, why
}

// refuse settles the calls that have not been sent.
func (l *link) refuse(next *call, err error) {
	if next != nil {
		next.settle(nil, &unsentError{err})
	}
	for {
		select {
		case c := <-l.queue:
			c.settle(nil, &unsentError{err})
		default:
			return
		}
	}
}

// drop ends the connection, so that no call waits for the answer to an earlier one that was given up.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wire != nil {
		l.wire.end(context.Canceled)
	}
}

// start puts a command into the queue. The caller has to wait for the call that it returns.
func (l *link) start(ctx context.Context, command string, args ...any) *call {
	c := &call{command: command, args: args, done: make(chan struct{})}
	select {
	case l.queue <- c:
	case <-ctx.Done():
		c.settle(nil, l.unsent(ctx))
	}
	return c
}

// wait returns the answer to a call. The error is an *unsentError if the command was certainly not sent, and a redis.Error if
// the server answered with an error. After any other error, the command may have been executed.
func (l *link) wait(ctx context.Context, c *call) (any, error) {
	select {
	case <-c.done:
		return c.reply, c.err
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(queued, dropped) {
		return nil, l.unsent(ctx)
	}
	select {
	case <-c.done:
		return c.reply, c.err
	default:
		return nil, ctx.Err()
	}
}

// unsent says why a call was given up before it was sent.
func (l *link) unsent(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		return &unsentError{ctx.Err()}
	}
	return &unsentError{fmt.Errorf("%w: %w", ctx.Err(), l.why)}
}

func (l *link) do(ctx context.Context, command string, args ...any) (any, error) {
	return l.wait(ctx, l.start(ctx, command, args...))
}

// eval runs a script.
func (l *link) eval(ctx context.Context, s *script, keys, args []string) (any, error) {
	all := make([]any, 0, 2+len(keys)+len(args))
	all = append(all, s.sum, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	for _, a := range args {
		all = append(all, a)
	}
	reply, err := l.do(ctx, "EVALSHA", all...)
	if replied(err, "NOSCRIPT") {
		return l.do(ctx, "EVAL", append([]any{s.source}, all[1:]...)...)
	}
	return reply, err
}

// exec is eval with a deadline, for callers that have none.
func (l *link) exec(ctx context.Context, s *script, keys, args []string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	return l.eval(ctx, s, keys, args)
}

// read is exec for scripts that can be repeated: after an error of the network, it makes up to two more attempts.
func (l *link) read(ctx context.Context, s *script, keys, args []string) (reply any, err error) {
	var wait backoff
	for range 3 {
		if reply, err = l.exec(ctx, s, keys, args); err == nil || ctx.Err() != nil {
			break
		}
		if wait.sleep(ctx) != nil {
			break
		}
	}
	return reply, err
}
