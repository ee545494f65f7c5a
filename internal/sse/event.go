package sse

import (
	"bytes"
	"strconv"
	"time"
)

// Heartbeat is the comment that keeps an idle stream open. No blank line follows it, as clients built on fetch dispatch an empty event for
// a blank line.
const Heartbeat = ":\n"

// defaultType is the type of an event without a type.
const defaultType = "message"

// Event is written as one block.
type Event struct {
	// ID becomes the client's last event id. If it is empty, the client keeps the one it has.
	ID string

	// Type is the name that a page listens to. Empty means "message".
	Type string

	// Data is text with any number of lines. A client reads each CR, LF and CRLF in it as LF.
	Data []byte

	// Retry is how long the client waits before it reconnects, in whole milliseconds. Less than a millisecond is left out.
	Retry time.Duration
}

// Append appends the encoded block and its blank line to dst. It writes ID and Type as they are. If they came from outside, they must have
// passed the checks of package rules, or they could forge lines.
func (e Event) Append(dst []byte) []byte {
	if e.Type != "" && e.Type != defaultType {
		dst = append(dst, "event: "...)
		dst = append(dst, e.Type...)
		dst = append(dst, '\n')
	}
	if ms := e.Retry.Milliseconds(); ms > 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, ms, 10)
		dst = append(dst, '\n')
	}
	dst = appendData(dst, e.Data)
	if e.ID != "" {
		dst = append(dst, "id: "...)
		dst = append(dst, e.ID...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// appendData writes at least one data line, as a client drops a block without one.
func appendData(dst, data []byte) []byte {
	// A search for two bytes is many times slower than one for a single byte, and CR is rare.
	hasCR := bytes.IndexByte(data, '\r') >= 0
	for {
		end := bytes.IndexByte(data, '\n')
		if hasCR {
			end = bytes.IndexAny(data, "\r\n")
		}
		line := data
		if end >= 0 {
			line = data[:end]
		}

		dst = append(dst, "data:"...)
		if len(line) > 0 {
			// The client removes one space. Without this one it would remove a space of the line.
			dst = append(dst, ' ')
			dst = append(dst, line...)
		}
		dst = append(dst, '\n')

		if end < 0 {
			return dst
		}
		if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
			end++
		}
		data = data[end+1:]
	}
}
