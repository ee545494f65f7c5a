package feed

import (
	"bytes"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Format is how an upstream's bytes are read.
type Format uint8

const (
	EventStream Format = iota // text/event-stream
	Lines                     // an event a line, as in NDJSON; blank lines are left out
	Text                      // what has arrived together is an event
)

// maxLastEventID is the longest id that an upstream is sent back.
const maxLastEventID = 1 << 10

// format reads the bytes of an upstream in one of the formats, and adds events to the Feed. Its methods are called with Feed.mu.
type format interface {
	feed(p []byte) error
	release() error // adds what need not be complete
	holds() bool    // release has something to add
	end() error     // adds what is complete once the upstream has ended
	midway() bool
	lastEventID() string
	retry() time.Duration
}

func (f *Feed) newFormat() format {
	switch f.config.Format {
	case Lines:
		return &lines{feeder: f}
	case Text:
		return &text{feeder: f}
	}
	return &events{feeder: f, Parser: sse.NewParser(f.config.Event), before: f.config.LastEventID}
}

// record returns the record of an event. It reports false for an event that must not be passed on: one with a name that only the
// hub's own events have, or that no client could be sent. An id that no client could send back is left out.
func (f *Feed) record(m sse.Message) (broker.Record, bool) {
	r := broker.Record{Targets: f.target, ID: m.ID, Data: []byte(m.Data)}
	if m.Type != "message" {
		if r.Type = m.Type; m.Type != "" && rules.CheckForeignType(m.Type) != nil {
			return r, false
		}
	} else {
		r.Type = f.config.Type
	}
	if r.ID != "" && rules.CheckID(r.ID) != nil {
		f.config.Counts.DroppedIDs.Add(1)
		r.ID = ""
	}
	return r, true
}

// events reads an event stream.
type events struct {
	*sse.Parser
	feeder *Feed
	before string // the last id of an earlier connection, which counts until the upstream gives another
	given  bool   // it has
}

func (e *events) feed(p []byte) error {
	return e.Feed(p, func(m sse.Message) error {
		m.ID = e.id(m.ID)
		return e.feeder.add(m)
	})
}

// id returns an id of this connection, or the last one of an earlier connection. A client keeps its last id, too.
func (e *events) id(own string) string {
	if e.given = e.given || own != ""; e.given {
		return own
	}
	return e.before
}

func (e *events) release() error { return nil }
func (e *events) holds() bool    { return false }
func (e *events) end() error     { return nil }
func (e *events) midway() bool   { return e.Midway() }

func (e *events) lastEventID() string {
	id := e.id(e.LastEventID())
	if len(id) > maxLastEventID || !httpguts.ValidHeaderFieldValue(id) {
		return ""
	}
	return id
}

func (e *events) retry() time.Duration { return e.Retry() }

// plain is what formats without ids have in common.
type plain struct{}

func (plain) lastEventID() string  { return "" }
func (plain) retry() time.Duration { return 0 }

// lines reads lines.
type lines struct {
	plain
	feeder *Feed
	part   []byte // what has arrived of the next line
}

func (l *lines) feed(p []byte) error {
	for {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if len(line) > l.feeder.config.Event-len(l.part) {
			return sse.ErrTooLong
		}
		if !ended {
			l.part = append(l.part, line...)
			return nil
		}
		if len(l.part) > 0 {
			line = append(l.part, line...)
			l.part = nil
		}
		if err := l.line(line); err != nil {
			return err
		}
		p = rest
	}
}

// line adds a line that is not blank.
func (l *lines) line(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil
	}
	return l.feeder.add(sse.Message{Type: l.feeder.config.Type, Data: valid(b)})
}

func (l *lines) release() error { return nil }
func (l *lines) holds() bool    { return false }
func (l *lines) midway() bool   { return len(l.part) > 0 }

func (l *lines) end() error {
	last := l.part
	l.part = nil
	return l.line(last)
}

// text reads text.
type text struct {
	plain
	feeder *Feed
	part   []byte // what has arrived since the last event
}

func (t *text) feed(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), t.feeder.config.Event-len(t.part))
		t.part = append(t.part, p[:n]...)
		if p = p[n:]; len(t.part) == t.feeder.config.Event {
			if err := t.release(); err != nil {
				return err
			}
			if len(t.part) == t.feeder.config.Event { // not even a character fits
				if err := t.end(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// release adds what has arrived, up to the last whole character or line end.
func (t *text) release() error {
	whole := len(t.part) - len(unfinished(t.part))
	if whole == 0 {
		return nil
	}
	data := valid(t.part[:whole])
	t.part = append(t.part[:0], t.part[whole:]...)
	return t.feeder.add(sse.Message{Type: t.feeder.config.Type, Data: data})
}

func (t *text) holds() bool  { return len(t.part) > 0 }
func (t *text) midway() bool { return false }

func (t *text) end() error {
	if err := t.release(); err != nil || len(t.part) == 0 {
		return err
	}
	last := t.part
	t.part = nil
	return t.feeder.add(sse.Message{Type: t.feeder.config.Type, Data: valid(last)})
}

// unfinished returns the beginning of a character or line end at the end of b that the next bytes may complete. In two events, CR and LF
// would be two line ends.
func unfinished(b []byte) []byte {
	if bytes.HasSuffix(b, []byte{'\r'}) {
		return b[len(b)-1:]
	}
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return nil
			}
			return tail
		}
	}
	return nil
}

// valid returns text in which what is no UTF-8 is replaced.
func valid(b []byte) string { return string(bytes.ToValidUTF8(b, []byte("\uFFFD"))) }
