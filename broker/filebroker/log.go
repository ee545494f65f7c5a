package filebroker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
)

// log is an open log. One goroutine writes it; see run.
type log struct {
	dir     string
	options Options
	logger  *slog.Logger
	lock    *os.File
	users   int // guarded by open

	requests chan *request
	closing  chan struct{}
	stopped  sync.WaitGroup // the goroutines

	table table // set before anything else begins

	broken   chan struct{} // closed once the disk has failed so that nothing may be appended any more
	breaking sync.Once
	tabling  sync.Mutex  // held while the table is written
	reason   error       // why; set before broken is closed
	syncing  sync.Mutex  // held while a file is synced that the writer may be about to close
	dirty    atomic.Bool // something was written since the last sync
	faults   faults      // logs damage

	writer writer // belongs to the writing goroutine

	mu       sync.Mutex // guards all below, and the segments
	segments []*segment // oldest first; the last is the one written to, once the writer has one
	visible  uint64     // the newest entry that may be read
	tails    map[*tail]struct{}
	current  segFile // the file to sync now and then
	place    place
	ailment  error // why nothing can be stored for now
}

// openLog opens a directory's log, and repairs what a crash has left.
func openLog(dir string, o Options) (_ *log, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening the log in %s: %w", dir, err)
		}
	}()
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.segment == 0 {
		o.segment = min(max(o.MaxBytes, MinMaxBytes)/32, 32<<20)
	}
	if o.clock == nil {
		o.clock = realMoment
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &log{
		dir: dir, options: o, logger: o.Logger.With("log", dir), requests: make(chan *request), closing: make(chan struct{}),
		broken: make(chan struct{}), tails: map[*tail]struct{}{},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := l.take(); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.stopped.Go(l.run)
	if o.Sync > 0 {
		l.stopped.Go(l.syncNowAndThen)
	}
	return l, nil
}

// lockName is the file that a process locks to have the directory for itself.
const lockName = "lock"

// take locks the directory for this process.
func (l *log) take() (err error) {
	if l.lock, err = os.OpenFile(filepath.Join(l.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	held, err := lock(l.lock)
	if err == nil {
		if l.place.lock, err = l.lock.Stat(); err == nil {
			l.place.dir, err = os.Stat(l.dir)
		}
		if err == nil {
			return nil
		}
	}
	l.lock.Close()
	if held {
		return errors.New("another process has this directory open; a file log belongs to one process")
	}
	return fmt.Errorf("locking: %w", err)
}

// recover reads the log's files, and begins a new life of the log.
func (l *log) recover() error {
	known := false
	var err error
	if l.table, known, err = readTable(l.dir); err != nil {
		return err
	}
	if l.segments, err = listSegments(l.dir, l.table.Salt); err != nil {
		return err
	}
	whole, keys := true, newRebuild(l.options.clock())
	for i := len(l.segments) - 1; i >= 0; i-- {
		intact, err := l.recoverSegment(i, keys)
		if err != nil {
			return err
		}
		whole = whole && intact
	}
	l.writer.keys = keys.keys()

	next, oldest := uint64(1), uint64(1)
	if n := len(l.segments); n > 0 {
		next, oldest = l.segments[n-1].last+1, l.segments[0].first
		if !known {
			l.logger.Warn("the table of epochs is missing or damaged: resuming clients will be told of a gap")
			l.table.Epochs = []epoch{{broker.NewEpoch(), min(oldest, next)}}
		}
	}
	info := l.place.lock
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without one, each boot counts as another
	b := string(bytes.TrimSpace(boot))
	switch t := &l.table; {
	case !known:
		whole = len(l.segments) == 0
	case t.Inode != inode(info):
		l.logger.Warn("the log was copied or restored from a copy")
		whole = false
	case t.Clean:
		whole = whole && t.End < next
	case !t.Synced:
		whole = whole && b != "" && b == t.Boot
	}
	l.table.begin(next, oldest)
	l.table.Boot, l.table.Inode, l.table.Synced, l.table.Clean, l.table.End = b, inode(info), l.options.Sync == Always, false, 0
	l.writer.next, l.writer.written, l.visible, l.writer.hole = next, next-1, next-1, !whole
	if !whole {
		l.logger.Warn("entries may have been lost: resuming clients will be told of a gap")
	}

	if err = l.start(); isFull(err) {
		_ = l.explain(err)
		return nil
	}
	return err
}

// recoverSegment reads a segment, and the idempotency keys in it that have not expired. intact is false if the log's end may
// be missing.
func (l *log) recoverSegment(i int, keys *rebuild) (intact bool, err error) {
	s, last := l.segments[i], i == len(l.segments)-1
	f, err := os.Open(s.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sound, err := s.load(f)
	if err != nil {
		return false, err
	}
	if s.full && s.last >= s.first {
		keys.pass(s.newest)
	}
	if s.full && keys.over() {
		return true, nil
	}
	end := s.disk
	if s.full {
		end = s.end
	}
	if err := s.scan(f, end, keys.see); err != nil {
		return false, err
	}
	keys.end()
	if !last || s.full {
		return true, nil
	}
	if !sound {
		l.logger.Warn("the newest segment's header is damaged", "file", s.path)
	}
	return l.inspectEnd(f, s)
}

// inspectEnd looks at the bytes after the last frame of the newest segment. Zeros are allocated room. Other bytes that end like
// a frame, or where a frame ends, are an entry that was damaged and may have been acknowledged. Anything else is a write that
// was cut short, and that was never acknowledged.
func (l *log) inspectEnd(f *os.File, s *segment) (intact bool, err error) {
	buf := make([]byte, scanChunk)
	final, tail, frameTail := byte(0), s.end, int64(0)
	for at := s.end; at < s.disk; {
		n, err := f.ReadAt(buf[:min(scanChunk, s.disk-at)], at)
		if n == 0 {
			return false, err
		}
		if at == s.end && n >= frameHeader {
			frameTail = at + frameOverhead + int64(le.Uint32(buf[4:]))
		}
		if rest := bytes.TrimRight(buf[:n], "\x00"); len(rest) > 0 {
			final, tail = rest[len(rest)-1], at+int64(len(rest))
		}
		at += int64(n)
	}
	if tail > s.end {
		l.logger.Warn("cutting an unreadable end of the log", "file", s.path, "bytes", tail-s.end)
	}
	return final != frameEnd && tail != frameTail, nil
}

// close ends the log after its last broker was closed.
func (l *log) close() error {
	close(l.closing)
	l.stopped.Wait()
	return errors.Join(l.finish(), l.release())
}

// release closes the files.
func (l *log) release() (err error) {
	if l.writer.file != nil {
		err = l.writer.file.Close()
	}
	return errors.Join(err, l.lock.Close())
}

// finish notes in the table that the log is complete, for the next life.
func (l *log) finish() error {
	w := &l.writer
	if l.failure() != nil || !w.started {
		return nil
	}
	if err := l.missing(); err != nil {
		return err
	}
	if err := w.file.Truncate(w.end); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		l.fail(err)
		return err
	}
	l.table.Clean, l.table.End = true, w.written
	return l.table.write(l.dir)
}

// fail ends the writing for good. After a failed sync it is not known what is on the disk, and a second sync that succeeds does
// not cover what the first one dropped.
func (l *log) fail(err error) {
	l.breaking.Do(func() {
		l.logger.Error("the disk failed: nothing is appended until the log is opened again", "error", err)
		l.reason = fmt.Errorf("%w: the disk failed: %w", broker.ErrUnavailable, err)
		l.tabling.Lock()
		defer l.tabling.Unlock()
		if l.missing() == nil {
			t := l.table // tell the next life, if the disk takes it
			t.Boot, t.Synced = "", false
			_ = t.write(l.dir)
		}
		close(l.broken)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wakeTails()
	})
}

// failure returns why nothing may be appended any more; nil if entries may be.
func (l *log) failure() error {
	select {
	case <-l.broken:
		return l.reason
	default:
		return nil
	}
}
