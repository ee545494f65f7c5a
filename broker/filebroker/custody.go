package filebroker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// lookEvery is how often the log checks that its files are still where it opened them.
const lookEvery = time.Second

// place holds the files that the log has opened. If they are no longer found by these names, what is written to them is lost
// with the last open descriptor. The log's mu guards segment and path.
type place struct {
	dir, lock os.FileInfo
	segment   os.FileInfo // the newest one
	path      string
}

// missing returns an error if the log's directory, its lock or its newest segment was removed or replaced.
func (l *log) missing() error {
	l.mu.Lock()
	p := l.place
	l.mu.Unlock()
	gone := l.sameFile(l.dir, p.dir, "directory")
	if gone == nil {
		gone = l.sameFile(filepath.Join(l.dir, lockName), p.lock, "lock")
	}
	if gone == nil && p.segment != nil {
		gone = l.sameFile(p.path, p.segment, "newest segment")
	}
	return gone
}

func (l *log) sameFile(path string, opened os.FileInfo, what string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the %s of the file log was removed while in use: nothing is stored until it is put back or Caddy restarts: %s", broker.ErrUnavailable, what, path)
	case err != nil:
		return fmt.Errorf("%w: the %s of the file log cannot be reached: %w", broker.ErrUnavailable, what, err)
	case !os.SameFile(info, opened):
		return fmt.Errorf("%w: the %s of the file log was replaced while in use: nothing is stored until it is put back or Caddy restarts: %s", broker.ErrUnavailable, what, path)
	}
	return nil
}

// ail notes why nothing can be stored for now, or with nil that entries can be stored again. Each Tail then reports that.
func (l *log) ail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (err == nil) == (l.ailment == nil) && (err == nil || err.Error() == l.ailment.Error()) {
		return
	}
	if l.ailment = err; err != nil {
		l.logger.Error("events are refused", "error", err)
	} else {
		l.logger.Info("events are stored again")
	}
	l.wakeTails()
}

// wakeTails wakes each Tail, so that it looks at the log's state. The caller holds mu.
func (l *log) wakeTails() {
	for t := range l.tails {
		t.push(nil)
	}
}

// ailing returns why nothing can be stored, for good or for now; nil if entries can be stored.
func (l *log) ailing() error {
	if err := l.failure(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ailment
}

// look checks that the files are in place, and whether entries can be stored again.
func (l *log) look() {
	if l.failure() != nil {
		return
	}
	err := l.missing()
	if err == nil && l.ailing() != nil {
		err = l.probe()
	}
	if err == nil {
		l.restoreTable()
	}
	l.ail(err)
}

// probe tries whether entries can be stored.
func (l *log) probe() error {
	w := &l.writer
	var err error
	if !w.started {
		err = l.start()
	} else if s := w.segment; s.last >= s.first {
		err = l.roll()
	} else {
		_, err = w.file.WriteAt(s.header(), 0)
	}
	if isFull(err) || errors.Is(err, broker.ErrFull) {
		return nil // a full disk is another state, which publishers are told of
	}
	return err
}

// restoreTable writes the table again if it was removed: without it, positions are unknown after a restart.
func (l *log) restoreTable() {
	if !l.writer.started {
		return
	}
	if _, err := os.Stat(filepath.Join(l.dir, tableName)); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	l.tabling.Lock()
	defer l.tabling.Unlock()
	if l.failure() == nil {
		l.logger.Warn("the table of epochs was removed: writing it again", "error", l.table.write(l.dir))
	}
}
