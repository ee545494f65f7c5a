package filebroker

import (
	"context"
	"errors"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// tailPage is how many entries are read at once by a Tail that is behind.
	tailPage = 512
	// maxQueue limits how many bytes may wait for a Tail in memory. When it is reached, the Tail reads from the disk.
	maxQueue = 16 << 20
	// readAgain is how long after a failure a Tail tries to read again.
	readAgain = time.Second
)

// tail is a Tail. The log's mu guards it.
type tail struct {
	live  bool // published entries are put into queue
	queue []broker.Entry
	bytes int
	wake  chan struct{}
}

// push takes published entries. The caller holds the log's mu.
func (t *tail) push(entries []broker.Entry) {
	if t.live {
		for i := range entries {
			r := &entries[i].Record
			t.bytes += len(r.Data) + int(r.NamesSize()) + 256
		}
		if t.queue = append(t.queue, entries...); t.bytes > maxQueue {
			t.live, t.queue, t.bytes = false, nil, 0
		}
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// tail hands entries on until ctx is done.
func (l *log) tail(ctx context.Context, last int, sink broker.Sink) {
	t := &tail{wake: make(chan struct{}, 1)}
	l.mu.Lock()
	next := l.visible + 1 - min(uint64(max(last, 0)), l.visible+1-l.oldest())
	l.tails[t] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.tails, t)
	}()
	sink.Begin(l.table.position(next - 1))

	var spare []broker.Entry
	var said error
	for ready := false; ctx.Err() == nil; {
		batch, through, err := l.following(ctx, t, next, spare)
		if ctx.Err() != nil {
			return
		}
		if len(batch) > 0 {
			sink.Deliver(batch)
			clear(batch)
		}
		spare = batch[:0]
		next = through + 1
		if err == nil && (len(batch) > 0 || !t.atEnd(l, next)) {
			continue
		}
		if err == nil && !ready { // the log can be read, even if nothing can be stored
			sink.State(nil)
			ready, said = true, nil
		}
		var again <-chan time.Time
		state := err
		if err != nil {
			again = time.After(readAgain)
		} else {
			state = l.ailing()
		}
		if !sameState(state, said) {
			sink.State(state)
			said = state
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-t.wake:
		}
	}
}

func sameState(a, b error) bool {
	return a == b || a != nil && b != nil && a.Error() == b.Error()
}

// atEnd reports whether there is no entry from next on.
func (t *tail) atEnd(l *log, next uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return next > l.visible
}

// following returns entries from next on, and the last number that they cover. It takes them from the queue, or from the disk
// if the queue does not go back that far. spare may be reused.
func (l *log) following(ctx context.Context, t *tail, next uint64, spare []broker.Entry) (batch []broker.Entry, through uint64, err error) {
	l.mu.Lock()
	if !t.live && next > l.visible {
		t.live = true
	}
	if t.live {
		batch, t.queue, t.bytes = t.queue, spare, 0
		l.mu.Unlock()
		return batch, next - 1 + uint64(len(batch)), nil
	}
	newest := l.visible
	l.mu.Unlock()
	batch, through, err = l.read(ctx, next, newest, tailPage)
	if errors.Is(err, broker.ErrTrimmed) {
		l.mu.Lock()
		through = l.oldest() - 1
		l.mu.Unlock()
		return []broker.Entry{{Position: l.table.position(through), Record: broker.Record{Kind: broker.Hole}}}, through, nil
	}
	return batch, through, err
}
