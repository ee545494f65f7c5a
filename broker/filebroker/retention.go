package filebroker

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// segFile is the newest segment's file, as the writer needs it.
type segFile interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (os.FileInfo, error)
	allocate(size int64) error
}

type diskFile struct{ *os.File }

func (f diskFile) Sync() error               { return syncData(f.File) }
func (f diskFile) allocate(size int64) error { return allocate(f.File, size) }

// openFile opens a segment's file for writing.
func (l *log) openFile(s *segment, flags int) (segFile, error) {
	f, err := os.OpenFile(s.path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if l.options.wrap != nil {
		return l.options.wrap(diskFile{f}), nil
	}
	return diskFile{f}, nil
}

// start begins this life of the log: it adds the life to the table, and continues the newest segment or begins a new one. On a
// full disk it fails, and is called again later.
func (l *log) start() error {
	w := &l.writer
	if w.started {
		return nil
	}
	if w.file == nil {
		if err := l.table.write(l.dir); err != nil {
			return err
		}
		if err := l.takeUp(); err != nil {
			return err
		}
	}
	if w.hole {
		hole := broker.Record{Kind: broker.Hole}
		l.stage(hole, hole.Encode(nil), l.options.clock())
		if err := l.flush(); err != nil {
			return err
		}
		w.hole = false
	}
	w.started = true
	return nil
}

// takeUp sets the file to write to.
func (l *log) takeUp() error {
	n := len(l.segments)
	if n == 0 || l.segments[n-1].full {
		return l.begin()
	}
	s := l.segments[n-1]
	f, err := l.openFile(s, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(s.header(), 0); err == nil { // it may be damaged, or not written yet
		err = f.Truncate(s.end)
	}
	if err == nil && l.options.Sync != Never {
		if err = f.Sync(); err != nil {
			l.fail(err)
		}
	}
	var info os.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_ = f.allocate(l.options.segment)
	l.setFile(s, f, info)
	return nil
}

// setFile makes a segment the one to write to.
func (l *log) setFile(s *segment, f segFile, info os.FileInfo) {
	l.writer.segment, l.writer.file, l.writer.end = s, f, s.end
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.place.segment, l.place.path = f, info, s.path
}

// fit makes room for a record, in the newest segment or in a new one.
func (l *log) fit(size int) error {
	w := &l.writer
	end := w.end + int64(len(w.buf))
	if end == headerSize || end+frameOverhead+int64(size) <= l.options.segment {
		return nil
	}
	return l.roll()
}

// roll finishes the newest segment and begins another.
func (l *log) roll() error {
	if err := l.flush(); err != nil {
		return err
	}
	old, file := l.writer.segment, l.writer.file
	if err := l.missing(); err != nil { // another log may have these names by now
		l.ail(err)
		return err
	}
	l.remove(l.overfull)
	if err := l.begin(); err != nil {
		return l.explain(err)
	}
	return l.seal(old, file)
}

// begin makes a new segment the newest.
func (l *log) begin() error {
	first := l.writer.next
	s := &segment{
		first: first, path: segmentPath(l.dir, first), salt: l.table.Salt,
		end: headerSize, last: first - 1, marked: true,
	}
	f, err := l.openFile(s, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if err = f.allocate(l.options.segment); err == nil {
		_, err = f.WriteAt(s.header(), 0)
	}
	if err == nil && l.options.Sync != Never {
		err = errors.Join(f.Sync(), syncDir(l.dir))
	}
	var info os.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(s.path))
	}
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.setFile(s, f, info)
	return nil
}

// seal finishes a segment. The footer only makes reading faster, so it may be missing; the entries must be synced.
func (l *log) seal(s *segment, f segFile) error {
	footer := s.footer()
	size := s.end + int64(len(footer))
	_, err := f.WriteAt(footer, s.end)
	if err != nil {
		l.logger.Warn("the segment has no footer, so reading it is slower", "file", s.path, "error", err)
		size = s.end
	}
	if err := f.Truncate(size); err != nil {
		l.logger.Warn("the segment's unused space could not be freed", "file", s.path, "error", err)
	}
	l.mu.Lock()
	s.full, s.disk = true, size
	l.mu.Unlock()
	l.syncing.Lock() // the system reports an error only once: to another sync of the file that runs meanwhile, perhaps
	defer l.syncing.Unlock()
	if l.options.Sync != Never {
		if err := f.Sync(); err != nil {
			l.fail(err)
		}
	}
	if err := f.Close(); err != nil { // some file systems only write now
		l.fail(err)
	}
	return l.failure()
}

// overfull returns how many of the oldest segments have to be removed until another one fits in. The caller holds mu.
func (l *log) overfull() int {
	last := len(l.segments) - 1
	total := l.options.segment + l.segments[last].end
	for n := last; n > 0; n-- {
		if total += l.segments[n-1].disk; total > l.options.MaxBytes {
			return n
		}
	}
	return 0
}

// expire removes the segments whose entries are all too old. It finishes the newest segment after some time, so that that one
// can be removed later.
func (l *log) expire(now time.Time) {
	if !l.writer.started || l.failure() != nil || l.missing() != nil {
		return
	}
	age := l.options.MaxAge
	if s := l.writer.segment; s.last >= s.first && s.oldest < now.Add(-age/32).UnixNano() {
		_ = l.roll() // on a full disk, the next call tries again
	}
	l.remove(func() (n int) {
		for n < len(l.segments)-1 && l.segments[n].newest < now.Add(-age).UnixNano() {
			n++
		}
		return n
	})
}

// remove removes the oldest segments. count returns how many; it is called with mu held.
func (l *log) remove(count func() int) {
	l.mu.Lock()
	n := count()
	old := l.segments[:n]
	l.segments = l.segments[n:]
	l.mu.Unlock()
	for _, s := range old {
		if err := os.Remove(s.path); err != nil {
			l.logger.Warn("an old segment cannot be removed", "error", err)
		}
	}
}

// syncNowAndThen syncs on a goroutine of its own, so that the writer need not wait.
func (l *log) syncNowAndThen() {
	tick := time.NewTicker(l.options.Sync)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.syncDirty()
		case <-l.closing:
			return
		}
	}
}

// syncDirty syncs the newest segment if anything was written to it. A segment that is sealed meanwhile stays open until
// its sync has returned.
func (l *log) syncDirty() {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if !l.dirty.Swap(false) {
		return
	}
	l.mu.Lock()
	f := l.current
	l.mu.Unlock()
	if err := f.Sync(); err != nil {
		l.fail(err)
	} else if err := l.missing(); err != nil {
		l.ail(err)
	}
}
