package filebroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// readChunk is how many bytes are read from the disk at once.
	readChunk = 64 << 10
	// maxPage limits the bytes of entries that one call reads. At least one entry is read.
	maxPage = 8 << 20
)

var chunks = sync.Pool{New: func() any { return new([]byte) }}

// oldest returns the oldest entry that may be there. The caller holds mu.
func (l *log) oldest() uint64 {
	if len(l.segments) == 0 {
		return 1
	}
	return l.segments[0].first
}

func (l *log) standing(p broker.Position) broker.Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.standing(p, l.oldest(), l.visible)
}

// between checks two positions, and returns the last entry to read.
func (l *log) between(after, upTo broker.Position) (newest uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.table.standing(after, l.oldest(), l.visible) {
	case broker.Unknown, broker.Ahead:
		return 0, broker.ErrUnknown
	case broker.Trimmed:
		return 0, broker.ErrTrimmed
	case broker.Lost:
		return 0, broker.ErrLost
	}
	switch l.table.standing(upTo, l.oldest(), l.visible) {
	case broker.Unknown:
		return 0, broker.ErrUnknown
	case broker.Lost:
		return 0, broker.ErrLost
	}
	return min(upTo.Minor, l.visible), nil
}

// page holds the entries read so far.
type page struct {
	log     *log
	entries []broker.Entry
	limit   int
	bytes   int
	next    uint64 // the entry that comes next
	to      uint64 // the last one wanted
}

func (p *page) done() bool {
	return p.next > p.to || len(p.entries) >= p.limit || p.bytes >= maxPage
}

func (p *page) add(seq uint64, r broker.Record) {
	p.entries = append(p.entries, broker.Entry{Position: p.log.table.position(seq), Record: r})
	p.bytes += len(r.Data)
	p.next = seq + 1
}

// lose adds a hole for the entries from next up to seq.
func (p *page) lose(seq uint64) {
	if seq = min(seq, p.to); seq >= p.next {
		p.log.faults.lost.say(p.log.logger, slog.LevelError, "entries are damaged or missing: clients are told of a gap",
			"from", p.log.table.position(p.next).String(), "to", p.log.table.position(seq).String())
		p.add(seq, broker.Record{Kind: broker.Hole})
	}
}

// read returns the entries from one up to another, with a Hole for those that are lost, and the last number that they cover.
func (l *log) read(ctx context.Context, from, to uint64, limit int) ([]broker.Entry, uint64, error) {
	p := &page{log: l, limit: limit, next: from, to: to}
	var err error
	for err == nil && !p.done() {
		if err = ctx.Err(); err == nil {
			err = l.readSegment(p)
		}
	}
	if len(p.entries) > 0 {
		err = nil // the next call returns it
	}
	return p.entries, p.next - 1, err
}

// readSegment reads on in the segment with the page's next entry.
func (l *log) readSegment(p *page) error {
	l.mu.Lock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > p.next }) - 1
	if i < 0 {
		l.mu.Unlock()
		return broker.ErrTrimmed
	}
	s, through := l.segments[i], l.visible
	if i+1 < len(l.segments) {
		through = l.segments[i+1].first - 1
	}
	l.mu.Unlock()

	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		l.mu.Lock()
		trimmed := p.next < l.oldest()
		l.mu.Unlock()
		if trimmed {
			return broker.ErrTrimmed
		}
		p.lose(through) // it was removed
		return nil
	} else if err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	defer f.Close()
	l.index(s, f)

	buf := chunks.Get().(*[]byte)
	l.mu.Lock()
	w := s.walk(f, s.nearest(p.next), s.end, readChunk)
	l.mu.Unlock()
	w.buf = (*buf)[:0]
	defer func() {
		if *buf = w.buf; cap(w.buf) <= 1<<20 {
			chunks.Put(buf)
		}
	}()
	for !p.done() {
		fr, err := w.step()
		if err != nil || fr.seq > through {
			if err != nil && !errors.Is(err, io.EOF) {
				l.logger.Error("reading a segment", "error", err)
			}
			p.lose(through)
			return nil
		}
		if fr.seq < p.next {
			continue
		}
		if p.lose(fr.seq - 1); !p.done() {
			p.take(&fr)
		}
	}
	return nil
}

// take adds a frame's record to the page.
func (p *page) take(f *frame) {
	r, err := broker.Decode(bytes.Clone(f.record))
	r.Time = time.Unix(0, f.time)
	position := p.log.table.position(f.seq).String()
	switch {
	case errors.Is(err, broker.ErrNewer):
		p.log.faults.newer.say(p.log.logger, slog.LevelError, "an entry was written by a newer program: clients are told of a gap", "position", position, "error", err)
		p.add(f.seq, broker.Record{Kind: broker.Hole, Time: r.Time})
		p.entries[len(p.entries)-1].Err = err
	case err != nil:
		p.log.faults.junk.say(p.log.logger, slog.LevelWarn, "an entry is not an event: clients are told of a gap", "position", position, "error", err)
		p.add(f.seq, broker.Record{Kind: broker.Hole, Time: r.Time})
		p.entries[len(p.entries)-1].Err = err
	default:
		p.add(f.seq, r)
	}
}

// index makes sure that the segment's marks are known.
func (l *log) index(s *segment, f *os.File) {
	s.loading.Lock()
	defer s.loading.Unlock()
	l.mu.Lock()
	known := s.marked
	l.mu.Unlock()
	if known {
		return
	}
	marks, ok := s.readMarks(f)
	if !ok {
		again := &segment{first: s.first, path: s.path, salt: s.salt}
		if again.scan(f, s.end, nil) == nil {
			marks = again.marks
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.marks, s.marked = marks, true
}

// faults logs damage: each kind once a minute, with the number of cases.
type faults struct{ lost, newer, junk, full fault }

type fault struct {
	mu    sync.Mutex
	count int
	said  time.Time
}

func (f *fault) say(log *slog.Logger, level slog.Level, message string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; time.Since(f.said) >= time.Minute {
		f.said = time.Now()
		log.Log(context.Background(), level, message, append(args, "count", f.count)...)
	}
}
