// Package stream holds HTTP responses open and writes to them what their sources have.
//
// Hold takes a plain HTTP/1 connection over: it costs no goroutine, and is written to without ever blocking.
// Serve is for all others: it stays on the handler's goroutine.
package stream

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// Source is what a stream is fed from. Next, Idle and Close are called by one goroutine at a time.
type Source interface {
	// Next appends what is to be written now, about max bytes of it. It returns nothing where there is
	// nothing to write, and io.EOF when the stream is to end behind what it returned. The frames are not
	// changed, and may be kept until they are written.
	Next(frames [][]byte, max int64) ([][]byte, error)
	// Ended reports whether Next will return io.EOF, whatever it has to return before.
	Ended() bool
	// Idle returns what keeps a silent stream open.
	Idle() []byte
	// OnWake sets what is called when Next may have something, and when the stream is to end. It must not block.
	OnWake(func())
	// Close is called once, when the stream has ended. The error says why; it is nil where the source ended.
	Close(error)
}

// Timing is how long streams wait for what. Many may share one, and take on what is set while they live.
type Timing struct {
	heartbeat    atomic.Int64 // time.Durations
	writeTimeout atomic.Int64
}

// NewTiming returns a timing that is set.
func NewTiming(heartbeat, writeTimeout time.Duration) *Timing {
	t := new(Timing)
	t.Set(heartbeat, writeTimeout)
	return t
}

// Set says how long a stream may be silent, and how long a client may take nothing. Living streams have it within
// longestWait.
func (t *Timing) Set(heartbeat, writeTimeout time.Duration) {
	t.heartbeat.Store(int64(heartbeat))
	t.writeTimeout.Store(int64(writeTimeout))
}

// Heartbeat is how long a stream may be silent.
func (t *Timing) Heartbeat() time.Duration { return time.Duration(t.heartbeat.Load()) }

// WriteTimeout is how long a client may take nothing.
func (t *Timing) WriteTimeout() time.Duration { return time.Duration(t.writeTimeout.Load()) }

const (
	// longestWait is how long a silent stream is left alone at most: its timing may have changed.
	longestWait = 15 * time.Second
	// lastChance is how long a stream that is to end waits for a client that takes nothing.
	lastChance = time.Second
)

var errTimeout = errors.New("the client took nothing for too long")

// innermost is what stands below all the wrappers of a handler's writer.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}
