package filebroker

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// writer is the state of the writing goroutine, which alone uses it. Entries are staged, written together, synced if the
// options demand it, and then published: from then on they can be read.
type writer struct {
	segment *segment // the newest one
	file    segFile  // its file
	started bool     // this life is in the table, and segment is set
	hole    bool     // this life has yet to begin with a hole
	keys    keys

	next    uint64         // seq of the next entry
	written uint64         // of the newest one published
	end     int64          // where in file the next write goes
	buf     []byte         // the bytes staged
	frames  []frame        // the same
	entries []broker.Entry // the same

	trouble error     // why nothing more of this group can be stored
	full    error     // the disk was full
	again   time.Time // when a full disk is tried again
}

const (
	// maxGroup is about how many bytes are written at once.
	maxGroup = 4 << 20
	// fullPause is how long the writer waits before it tries a full disk again.
	fullPause = 100 * time.Millisecond
)

// request is an Append that waits for the writer.
type request struct {
	records []broker.Record
	encoded []byte // the records, one after the other
	ends    []int  // where in encoded each one ends
	seqs    []uint64
	results []broker.Result
	done    chan struct{} // closed when results are set
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func newRequest(records []broker.Record) *request {
	n := len(records)
	r := &request{records, (*buffers.Get().(*[]byte))[:0], make([]int, n), make([]uint64, n), make([]broker.Result, n), make(chan struct{})}
	for i := range records {
		records[i].Time = time.Time{} // the frame has it
		r.encoded = records[i].Encode(r.encoded)
		r.ends[i] = len(r.encoded)
	}
	return r
}

// recycle gives the request's buffer back. The writer must be done with it.
func (r *request) recycle() {
	if b := r.encoded; cap(b) <= 1<<20 {
		buffers.Put(&b)
	}
}

// run is the writing goroutine.
func (l *log) run() {
	tick := time.NewTicker(max(min(l.options.MaxAge/64, time.Minute), time.Millisecond))
	defer tick.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var group []*request
	for {
		select {
		case r := <-l.requests:
			group = l.gather(append(group[:0], r))
			l.commit(group)
			clear(group)
		case now := <-tick.C:
			l.expire(now)
		case <-look.C:
			l.look()
		case <-l.closing:
			return
		}
	}
}

// gather adds the requests that are already waiting.
func (l *log) gather(group []*request) []*request {
	for size := len(group[0].encoded); size < maxGroup; {
		select {
		case r := <-l.requests:
			group = append(group, r)
			size += len(r.encoded)
		default:
			return group
		}
	}
	return group
}

// commit stores the records of requests, and answers them.
func (l *log) commit(group []*request) {
	w, now := &l.writer, l.options.clock()
	before := w.written
	w.trouble = l.writable(time.Now())
	for _, r := range group {
		start := 0
		for i, end := range r.ends {
			l.admit(r, i, r.encoded[start:end], now)
			start = end
		}
	}
	if err := l.flush(); err != nil {
		w.trouble = err
	}
	if w.written > before && w.trouble == nil {
		l.ail(nil)
	}
	for _, r := range group {
		for i, seq := range r.seqs {
			if res := &r.results[i]; res.Err == nil && seq > w.written {
				*res = broker.Result{Err: w.trouble}
			} else if res.Err == nil {
				res.Position = l.table.position(seq)
			}
		}
		close(r.done)
	}
}

// writable returns why entries cannot be stored; nil if they can.
func (l *log) writable(now time.Time) error {
	w := &l.writer
	if err := l.failure(); err != nil {
		return err
	}
	if w.full != nil && now.Before(w.again) {
		return w.full
	}
	if l.ailing() != nil {
		if err := l.missing(); err != nil {
			return err
		}
	}
	if err := l.start(); err != nil {
		return l.explain(err)
	}
	w.full = nil
	return nil
}

// explain turns a failure of the disk into one of the contract's errors. Nothing was stored.
func (l *log) explain(err error) error {
	w := &l.writer
	if !isFull(err) {
		if err := l.missing(); err != nil {
			l.ail(err)
			return err
		}
		err = fmt.Errorf("%w: the file log cannot be written: %w", broker.ErrUnavailable, err)
		l.ail(err)
		return err
	}
	l.faults.full.say(l.logger, slog.LevelError, "the disk is full: events are refused until there is space again", "error", err)
	w.full, w.again = fmt.Errorf("%w: %w", broker.ErrFull, err), time.Now().Add(fullPause)
	return w.full
}

// admit stages a record, unless it was stored before.
func (l *log) admit(r *request, i int, encoded []byte, now moment) {
	w, rec, res := &l.writer, &r.records[i], &r.results[i]
	if len(encoded) > maxRecord {
		res.Err = errTooLarge
		return
	}
	if rec.Key != "" {
		r.seqs[i], res.Err = w.keys.find(rec, now)
		if res.Repeated = r.seqs[i] != 0; res.Repeated || res.Err != nil {
			return
		}
	}
	if w.trouble == nil {
		w.trouble = l.fit(len(encoded))
	}
	if res.Err = w.trouble; errors.Is(res.Err, broker.ErrUnknownOutcome) {
		res.Err = l.reason // those before it are unknown; this one was not tried
	}
	if res.Err == nil {
		r.seqs[i] = w.next
		l.stage(*rec, encoded, now)
	}
}

// stage adds a record to those staged.
func (l *log) stage(r broker.Record, encoded []byte, now moment) {
	w := &l.writer
	f := frame{seq: w.next, time: now.wall, record: encoded, at: w.end + int64(len(w.buf))}
	if r.Key != "" {
		f.flags |= flagKeyed
		w.keys.add(use{r.Key, r.Digest, f.seq, now})
	}
	r.Time = time.Unix(0, f.time)
	w.buf = f.appendTo(w.buf, w.segment.salt)
	w.frames = append(w.frames, f)
	w.entries = append(w.entries, broker.Entry{Position: l.table.position(f.seq), Record: r})
	w.next++
}

// flush writes the staged entries, syncs them if the options demand it, and publishes them. If it fails, none of them is
// stored, or it is not known.
func (l *log) flush() error {
	w := &l.writer
	if len(w.frames) == 0 {
		return nil
	}
	err := l.write()
	if err != nil {
		w.next = w.written + 1
		w.keys.undo(w.written)
	} else {
		w.written, w.end = w.next-1, w.end+int64(len(w.buf))
		l.publish()
	}
	clear(w.frames)
	clear(w.entries)
	w.buf, w.frames, w.entries = w.buf[:0], w.frames[:0], w.entries[:0]
	if cap(w.buf) > 2*maxGroup {
		w.buf = nil
	}
	return err
}

func (l *log) write() error {
	w := &l.writer
	if _, err := w.file.WriteAt(w.buf, w.end); err != nil {
		return l.takeBack(err)
	}
	if l.options.Sync != Always {
		l.dirty.Store(true)
		return nil
	}
	if err := w.file.Sync(); err != nil {
		l.fail(err)
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
	}
	if err := l.missing(); err != nil {
		return l.takeBack(err)
	}
	return nil
}

// takeBack cuts off bytes that were written but cannot be acknowledged: the next write may be shorter and would leave some of
// them.
func (l *log) takeBack(err error) error {
	w := &l.writer
	if cut := w.file.Truncate(w.end); cut != nil {
		l.fail(errors.Join(err, cut))
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
	}
	_ = w.file.allocate(l.options.segment)
	return l.explain(err)
}

// publish makes the written entries visible to readers.
func (l *log) publish() {
	w := &l.writer
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range w.frames {
		w.segment.add(&w.frames[i])
	}
	l.visible = w.written
	for t := range l.tails {
		t.push(w.entries)
	}
}
