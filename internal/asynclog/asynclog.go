// Package asynclog writes log lines for goroutines that must not wait for the log: a write to a pipe blocks until something reads
// from it.
package asynclog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// most is how many lines may wait at once.
const most = 4096

// Queue writes lines one after the other, on a goroutine that lives as long as there are any. The zero value is ready for use. Its methods
// may be called by many goroutines at once.
type Queue struct {
	// mu guards what follows.
	mu      sync.Mutex
	lines   []func()
	running bool
	dropped int
	said    func(dropped int) // that of the newest line
}

// Put queues a line, and never waits. If too many lines wait, it drops this one. Once lines are written again, the queue's goroutine calls
// said with the number of dropped lines.
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

// run writes lines until there are no more.
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

// Flush waits until all lines are written, but no longer than atMost.
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

// Logger returns a logger that writes its lines by a queue of its own.
func Logger(to *slog.Logger) *slog.Logger { return slog.New(&handler{new(Queue), to.Handler()}) }

// handler is a slog.Handler that puts lines into a queue.
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
		slog.New(h.to).Warn("log lines were dropped: the log was too slow", "lines", dropped)
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.queue, h.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.queue, h.to.WithGroup(name)} }
