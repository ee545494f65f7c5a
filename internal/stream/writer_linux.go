package stream

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxBatch is how many bytes are taken from a source at a time. What a full socket leaves of them has to be kept.
	maxBatch = 16 << 10
	// turns is how often a stream is written to before others have their turn.
	turns = 4
)

// result is the outcome of a turn of writing.
type result struct {
	state state
	wrote bool  // some bytes were written
	begun bool  // nothing was left over from the turn before
	err   error // why the stream has failed or ended
}

type state uint8

const (
	quiet  state = iota // there is nothing more to write
	more                // there is more to write, but others have their turn first
	full                // the socket takes no more
	ended               // the source has ended
	failed              // the connection is broken
)

// writer writes to one pipe after the other. It keeps buffers that all of them use.
type writer struct {
	frames  [][]byte
	scratch []byte
	out     backlog
	begun   time.Time // when the turn began
}

// slice is how long a turn that may wait goes on writing before others have theirs.
const slice = 10 * time.Millisecond

// late reports whether a turn of a connection with TLS has used up its slice.
func (w *writer) late(p *pipe) bool { return p.lent() && time.Since(w.begun) > slice }

// run writes what the source has, as far as the socket takes it.
func (w *writer) run(p *pipe) (r result) {
	if p.lent() {
		w.begun = time.Now()
	}
	if r.begun = p.backlog == nil; !r.begun {
		if r.state, r.err = w.flush(p, p.backlog, &r.wrote); r.state != quiet {
			return r
		}
		p.backlog = nil
	}
	for range turns {
		frames, end := p.src.Next(w.frames[:0], maxBatch)
		if len(frames) == 0 && end == nil && p.idle {
			if beat := p.src.Idle(); beat != nil {
				frames = append(frames, beat)
			}
		}
		p.idle = false
		w.frames = frames
		n := len(frames)
		if n > 0 {
			w.encode(frames, p.chunked)
			clear(frames)
		}
		r.state, r.err = w.flush(p, &w.out, &r.wrote)
		if errors.Is(end, io.EOF) && r.state == quiet && p.chunked && !p.over {
			p.over = true
			w.out.rest = append(w.scratch[:0], "0\r\n\r\n"...)
			r.state, r.err = w.flush(p, &w.out, &r.wrote)
		}
		if r.state == full || r.state == more { // at the end, too: the source will report it again
			p.backlog = &backlog{append([]byte(nil), w.out.rest...), w.out.body, w.out.tail} // a copy, as scratch is used for other streams
		}
		w.out = backlog{}
		switch {
		case r.state != quiet:
			return r
		case errors.Is(end, io.EOF):
			r.state = ended
			return r
		case end != nil:
			r.state, r.err = ended, end
			return r
		case n == 0:
			return r
		case w.late(p):
			r.state = more
			return r
		}
	}
	r.state = more
	return r
}

// encode puts frames into one chunk. Small frames are copied together; a large one that comes first, which other streams may share, is
// written from where it is, and what follows it is copied.
func (w *writer) encode(frames [][]byte, chunked bool) {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	b := w.scratch[:0]
	if chunked {
		b = append(strconv.AppendUint(b, uint64(size), 16), '\r', '\n')
	}
	var end []byte
	if chunked {
		end = crlf
	}
	if len(frames[0]) > maxBatch {
		w.out.body, w.out.tail = frames[0], end
		if len(frames) > 1 {
			w.out.tail = append(slices.Concat(frames[1:]...), end...)
		}
	} else {
		for _, f := range frames {
			b = append(b, f...)
		}
		b = append(b, end...)
	}
	w.scratch, w.out.rest = b, b
}

// flush writes what is left in a backlog.
func (w *writer) flush(p *pipe, l *backlog, wrote *bool) (state, error) {
	for {
		b := &l.rest
		switch {
		case len(l.rest) > 0:
		case len(l.body) > 0:
			b = &l.body
		case len(l.tail) > 0:
			l.rest, l.tail = l.tail, nil
		default:
			return quiet, nil
		}
		n, err := p.write(*b)
		if n > 0 { // an outlet may take some and return EAGAIN for the rest
			*b, *wrote = (*b)[n:], true
		}
		switch err {
		case nil:
			if w.late(p) && len(l.rest)+len(l.body)+len(l.tail) > 0 {
				return more, nil
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return full, nil
		default:
			return failed, os.NewSyscallError("write", err)
		}
	}
}

var crlf = []byte("\r\n")
