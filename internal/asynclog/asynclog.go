// Package asynclog writes log lines from goroutines that must not wait for whoever reads the log: a pipe that nobody reads
// holds up whoever writes to it.
package asynclog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// most is how many lines may wait.
const most = 4096

// Queue has lines written one after the other, on a goroutine that lives as long as there are any. The zero value is ready.
// Its methods may be called from many goroutines.
type Queue struct {
	mu      sync.Mutex // guards the block
	lines   []func()
	running bool
	dropped int
	said    func(dropped int) // of the newest line that was put in
}

// Put has a line written, and never waits. Where too many wait already it is dropped; as soon as lines are written again,
// said is called, on the queue's goroutine, with the number of those dropped.
func (q *Queue) Put(write func(), said func(dropped int)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said = said
	if len(q.lines) == most {
		q.dropped++
		return
	}
	if q.lines = append(q.lines, write); !q.running {
		q.running = true
		go q.run()
	}
}

func (q *Queue) run() {
	for {
		q.mu.Lock()
		if len(q.lines) == 0 {
			q.lines, q.running = nil, false
			q.mu.Unlock()
			return
		}
		write, dropped, said := q.lines[0], q.dropped, q.said
		q.lines[0], q.dropped = nil, 0
		q.lines = q.lines[1:]
		q.mu.Unlock()
		write()
		if dropped > 0 {
			said(dropped)
		}
	}
}

// Flush waits until nothing waits any more, for up to a time.
func (q *Queue) Flush(atMost time.Duration) {
	done := make(chan struct{})
	q.mu.Lock()
	if !q.running {
		q.mu.Unlock()
		return
	}
	q.lines = append(q.lines, func() { close(done) })
	q.mu.Unlock()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Logger returns a logger whose lines go the same way, by a queue of its own.
func Logger(to *slog.Logger) *slog.Logger { return slog.New(&handler{new(Queue), to.Handler()}) }

type handler struct {
	queue *Queue
	to    slog.Handler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	r, ctx = r.Clone(), context.WithoutCancel(ctx)
	h.queue.Put(func() { _ = h.to.Handle(ctx, r) }, func(dropped int) {
		slog.New(h.to).Warn("lines were dropped, as the log took none", "lines", dropped)
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.queue, h.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.queue, h.to.WithGroup(name)} }
