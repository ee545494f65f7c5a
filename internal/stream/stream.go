// Package stream holds HTTP responses open and writes what their sources have.
//
// Hold takes over the connection of an HTTP/1 request, or a stream of HTTP/2 or HTTP/3. Such a stream costs no goroutine while it is
// idle, and no write to it delays another stream. Serve is for all others: it stays on the handler's goroutine.
package stream

import (
	"errors"
	"sync/atomic"
	"time"
)

// Source is what a stream is fed from. Next, Idle and Close are called by one goroutine at a time.
type Source interface {
	// Next appends what should be written now, about max bytes of it. It appends nothing if there is nothing to write, and returns
	// io.EOF if the stream ends after these frames. After another error the response is cut off, so that the client sees that something
	// is missing. The caller does not change the frames, and may keep them until they are written.
	Next(frames [][]byte, max int64) ([][]byte, error)
	// Ended reports whether Next will return an error, possibly after more frames.
	Ended() bool
	// Idle returns a heartbeat, which is written to a silent stream; nil for none.
	Idle() []byte
	// OnWake sets what is told when Next may have something, or when the stream should end. Its method does not block. With now, it may
	// call Next and the others at once, on the goroutine that calls it; without, it does not call the source.
	OnWake(interface{ Wake(now bool) })
	// Close is called once, when the stream has ended. The error says why; it is nil if the source ended.
	Close(error)
}

// Timing says how long streams wait. Many streams may share one, and follow its changes.
type Timing struct {
	heartbeat    atomic.Int64 // time.Durations
	writeTimeout atomic.Int64
}

// NewTiming returns a Timing with these durations.
func NewTiming(heartbeat, writeTimeout time.Duration) *Timing {
	t := new(Timing)
	t.Set(heartbeat, writeTimeout)
	return t
}

// Set sets how long a stream may be silent, and how long a client may take nothing. Open streams follow within longestWait.
func (t *Timing) Set(heartbeat, writeTimeout time.Duration) {
	t.heartbeat.Store(int64(heartbeat))
	t.writeTimeout.Store(int64(writeTimeout))
}

// Heartbeat returns how long a stream may be silent.
func (t *Timing) Heartbeat() time.Duration { return time.Duration(t.heartbeat.Load()) }

// WriteTimeout returns how long a client may take nothing.
func (t *Timing) WriteTimeout() time.Duration { return time.Duration(t.writeTimeout.Load()) }

const (
	// longestWait is how long a silent stream is left alone at most, as its timing may have changed.
	longestWait = 15 * time.Second
	// lastChance is how long a stream whose source has ended waits for a client that takes nothing.
	lastChance = time.Second
)

var errTimeout = errors.New("the client took nothing for too long")
