package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrTooLong is returned by Next for a line, or an event's data, that is longer than the Reader allows.
var ErrTooLong = errors.New("sse: line or event too long")

// maxEmptyReads is how often in a row the source may return neither bytes nor an error.
const maxEmptyReads = 100

var byteOrderMark = []byte("\uFEFF")

// Message is an event as a client sees it.
type Message struct {
	// ID is the stream's last event id, which an earlier event may have set.
	ID string

	// Type is "message" if the stream names none.
	Type string

	// Data has LF between its lines.
	Data string
}

// Reader reads a stream as EventSource does, by the algorithm of WHATWG HTML, section 9.2.6. It is not safe for concurrent use.
type Reader struct {
	// Comment, if set, is called by Next with the text after the colon of each comment line. A heartbeat's text is empty.
	Comment func(text string)

	src      io.Reader
	maxBytes int
	err      error // from src; returned once pending is used up

	buf     []byte
	pending []byte // the part of buf not yet looked at
	line    []byte // what has arrived of the current line
	begun   bool   // a line was read, so that no byte order mark can follow
	skipLF  bool   // the last line ended in CR; an LF that follows belongs to it

	// The buffers that the algorithm names.
	data      []byte
	eventType string
	idBuffer  string

	lastEventID string
	retry       time.Duration
}

// NewReader returns a Reader of r. A line, including the name of its field, and an event's data may each have maxBytes bytes; 0 means no
// limit.
func NewReader(r io.Reader, maxBytes int) *Reader {
	if maxBytes <= 0 {
		maxBytes = math.MaxInt
	}
	return &Reader{src: r, maxBytes: maxBytes, buf: make([]byte, 4096)}
}

// LastEventID returns the id that a client would send in order to resume here. Blocks without data count, too.
func (r *Reader) LastEventID() string { return r.lastEventID }

// Retry returns the reconnection time that the stream set last, or 0.
func (r *Reader) Retry() time.Duration { return r.retry }

// Next returns the next event as soon as its blank line has arrived. At the end of the stream it drops an event without a blank line, and returns
// io.EOF. Errors are final.
func (r *Reader) Next() (Message, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return Message{}, err
		}
		if len(line) > 0 {
			if err := r.field(line); err != nil {
				return Message{}, r.fail(err)
			}
			continue
		}
		if m, ok := r.dispatch(); ok {
			return m, nil
		}
	}
}

// readLine returns a line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if err := r.fill(); err != nil {
			return nil, err
		}
		if r.skipLF {
			r.skipLF = false
			if r.pending[0] == '\n' {
				r.pending = r.pending[1:]
				continue
			}
		}

		end := bytes.IndexAny(r.pending, "\r\n")
		part := r.pending
		if end >= 0 {
			part = r.pending[:end]
		}
		if len(part) > r.maxBytes-len(r.line) {
			return nil, r.fail(ErrTooLong)
		}
		r.line = append(r.line, part...)
		if end < 0 {
			r.pending = nil
			continue
		}

		// This does not wait for the LF of a CRLF, since the line may complete an event.
		r.skipLF = r.pending[end] == '\r'
		r.pending = r.pending[end+1:]
		if r.begun {
			return r.line, nil
		}
		r.begun = true
		return bytes.TrimPrefix(r.line, byteOrderMark), nil
	}
}

// fill reads until pending is not empty.
func (r *Reader) fill() error {
	for tries := 0; len(r.pending) == 0; tries++ {
		if r.err != nil {
			return r.err
		}
		if tries == maxEmptyReads {
			return r.fail(io.ErrNoProgress)
		}
		var n int
		n, r.err = r.src.Read(r.buf)
		r.pending = r.buf[:n]
	}
	return nil
}

// fail makes all further calls of Next return err.
func (r *Reader) fail(err error) error {
	r.pending, r.err = nil, err
	return err
}

// field processes a line that is not blank.
func (r *Reader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'})
	if len(name) == 0 {
		if r.Comment != nil {
			r.Comment(decode(value))
		}
		return nil
	}
	value = bytes.TrimPrefix(value, []byte{' '})

	switch string(name) {
	case "event":
		r.eventType = decode(value)
	case "data":
		if len(value) > r.maxBytes-len(r.data) {
			return ErrTooLong
		}
		r.data = append(append(r.data, value...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.idBuffer = decode(value)
		}
	case "retry":
		if ms, ok := digits(value); ok {
			r.retry = ms
		}
	}
	return nil
}

// dispatch ends a block. A block without a data line is no event, but its id counts.
func (r *Reader) dispatch() (Message, bool) {
	r.lastEventID = r.idBuffer
	m := Message{ID: r.lastEventID, Type: r.eventType}
	r.eventType = ""
	if len(r.data) == 0 {
		return Message{}, false
	}
	if m.Type == "" {
		m.Type = defaultType
	}
	m.Data = decode(r.data[:len(r.data)-1])
	r.data = r.data[:0]
	return m, true
}

// digits parses milliseconds. A number too large for a Duration counts as no number.
func digits(b []byte) (time.Duration, bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// decode does the UTF-8 decode of the WHATWG Encoding Standard: it puts one U+FFFD for each longest beginning of a character that breaks off.
// bytes.ToValidUTF8 would put a single one for a whole run.
func decode(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		_, n := utf8.DecodeRune(b)
		if n > 1 || b[0] < utf8.RuneSelf {
			s.Write(b[:n])
		} else {
			for n < len(b) && !utf8.FullRune(b[:n+1]) {
				n++
			}
			s.WriteRune(utf8.RuneError)
		}
		b = b[n:]
	}
	return s.String()
}
