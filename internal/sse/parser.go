package sse

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrTooLong is returned for a line, or an event's data, that is longer than the Parser or the Reader allows.
var ErrTooLong = errors.New("sse: line or event too long")

// keptBuffer is the largest buffer that a Parser keeps for the next event.
const keptBuffer = 64 << 10

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

// Parser reads a stream that is handed to it piece by piece, by the algorithm of WHATWG HTML, section 9.2.6. It is not safe for concurrent
// use.
type Parser struct {
	// Comment, if set, is called with the text after the colon of each comment line. A heartbeat's text is empty.
	Comment func(text string)

	maxBytes int
	err      error // final

	line   []byte // what has arrived of the current line, if it came in several pieces
	begun  bool   // a line was read, so that no byte order mark can follow
	skipLF bool   // the last line ended in CR; an LF that follows belongs to it
	inside bool   // the block has a line that is not a comment

	// The buffers that the algorithm names.
	data      []byte
	eventType string
	idBuffer  string

	lastEventID string
	retry       time.Duration
}

// NewParser returns a Parser. A line, including the name of its field, and an event's data may each have maxBytes bytes; 0 means no limit.
func NewParser(maxBytes int) *Parser {
	if maxBytes <= 0 {
		maxBytes = math.MaxInt
	}
	return &Parser{maxBytes: maxBytes}
}

// LastEventID returns the id that a client would send in order to resume here. Blocks without data count, too.
func (p *Parser) LastEventID() string { return p.lastEventID }

// Retry returns the reconnection time that the stream set last, or 0.
func (p *Parser) Retry() time.Duration { return p.retry }

// Midway reports whether an event has begun but not ended. A stream that ends here has lost it.
func (p *Parser) Midway() bool { return p.inside || len(p.line) > 0 }

// Feed takes the next piece of the stream, and calls emit for each event that it completes. Errors, also those of emit, are final.
func (p *Parser) Feed(b []byte, emit func(Message) error) error {
	for len(b) > 0 || p.err != nil {
		var m Message
		var ok bool
		m, ok, b = p.next(b)
		if ok {
			p.err = emit(m)
		}
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// next reads up to the end of the next event, and returns what follows it. It reports false if the event is not complete or err is set.
func (p *Parser) next(b []byte) (m Message, ok bool, rest []byte) {
	for p.err == nil {
		var line []byte
		if line, ok, b = p.nextLine(b); !ok {
			break
		}
		if len(line) > 0 {
			p.err = p.field(line)
		} else if m, ok = p.dispatch(); ok {
			return m, true, b
		}
	}
	return Message{}, false, nil
}

// nextLine returns a line without its end, valid until the next call, and what follows it.
func (p *Parser) nextLine(b []byte) (line []byte, ok bool, rest []byte) {
	if p.skipLF && len(b) > 0 {
		p.skipLF = false
		if b[0] == '\n' {
			b = b[1:]
		}
	}
	end := bytes.IndexAny(b, "\r\n")
	part := b
	if end >= 0 {
		part = b[:end]
	}
	if len(part) > p.maxBytes-len(p.line) {
		p.err = ErrTooLong
		return nil, false, nil
	}
	if end < 0 {
		p.line = append(p.line, part...)
		return nil, false, nil
	}
	line = part
	if len(p.line) > 0 {
		line = append(p.line, part...)
		p.line = emptied(line)
	}
	// This does not wait for the LF of a CRLF, since the line may complete an event.
	p.skipLF = b[end] == '\r'
	if !p.begun {
		p.begun = true
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	return line, true, b[end+1:]
}

// emptied returns a buffer to use again, or nil if that would keep much memory.
func emptied(buf []byte) []byte {
	if cap(buf) > keptBuffer {
		return nil
	}
	return buf[:0]
}

// field processes a line that is not blank.
func (p *Parser) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'})
	if len(name) == 0 {
		if p.Comment != nil {
			p.Comment(decode(value))
		}
		return nil
	}
	p.inside = true
	value = bytes.TrimPrefix(value, []byte{' '})

	switch string(name) {
	case "event":
		p.eventType = decode(value)
	case "data":
		if len(value) > p.maxBytes-len(p.data) {
			return ErrTooLong
		}
		p.data = append(append(p.data, value...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.idBuffer = decode(value)
		}
	case "retry":
		if ms, ok := digits(value); ok {
			p.retry = ms
		}
	}
	return nil
}

// dispatch ends a block. A block without a data line is no event, but its id counts.
func (p *Parser) dispatch() (Message, bool) {
	p.lastEventID, p.inside = p.idBuffer, false
	m := Message{ID: p.lastEventID, Type: p.eventType}
	p.eventType = ""
	if len(p.data) == 0 {
		return Message{}, false
	}
	if m.Type == "" {
		m.Type = defaultType
	}
	m.Data = decode(p.data[:len(p.data)-1])
	p.data = emptied(p.data)
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
