package sse

import "io"

// maxEmptyReads is how often in a row the source may return neither bytes nor an error.
const maxEmptyReads = 100

// Reader reads a stream as EventSource does. It is a [Parser] that fetches the stream itself. It is not safe for concurrent use.
type Reader struct {
	Parser

	src     io.Reader
	readErr error // from src; returned once pending is used up
	buf     []byte
	pending []byte // the part of buf not yet looked at
}

// NewReader returns a Reader of r. A line, including the name of its field, and an event's data may each have maxBytes bytes; 0 means no
// limit.
func NewReader(r io.Reader, maxBytes int) *Reader {
	return &Reader{Parser: *NewParser(maxBytes), src: r, buf: make([]byte, 4096)}
}

// Next returns the next event as soon as its blank line has arrived. At the end of the stream it drops an event without a blank line, and returns
// io.EOF. Errors are final.
func (r *Reader) Next() (m Message, err error) {
	for ok := false; !ok; {
		if err := r.fill(); err != nil {
			return Message{}, err
		}
		m, ok, r.pending = r.next(r.pending)
		if r.err != nil {
			return Message{}, r.err
		}
	}
	return m, nil
}

// fill reads until pending is not empty.
func (r *Reader) fill() error {
	for tries := 0; len(r.pending) == 0; tries++ {
		if r.err == nil && tries == maxEmptyReads {
			r.err = io.ErrNoProgress
		}
		if r.err == nil {
			r.err = r.readErr
		}
		if r.err != nil {
			return r.err
		}
		var n int
		n, r.readErr = r.src.Read(r.buf)
		r.pending = r.buf[:n]
	}
	return nil
}
