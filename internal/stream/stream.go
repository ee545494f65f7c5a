// Package stream holds an HTTP response open and writes to it what a source has.
package stream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Source is what a stream is fed from. The stream calls it from one goroutine.
type Source interface {
	// Next appends what is to be written now, about max bytes of it. It returns nothing where there is
	// nothing to write, and io.EOF when the stream is to end behind what it returned.
	Next(frames [][]byte, max int64) ([][]byte, error)
	// Wake is signalled when Next may have something.
	Wake() <-chan struct{}
	// Idle returns what keeps a silent stream open.
	Idle() []byte
}

// Options are how a stream is held.
type Options struct {
	Heartbeat    time.Duration // how long it may be silent
	WriteTimeout time.Duration // how long a write may take
}

// maxWrite is how much goes out before it is flushed.
const maxWrite = 64 << 10

// maxPiece is how much of it a client has to take within the write timeout: one that is slow, but takes some, is
// not given up.
const maxPiece = 16 << 10

// Serve writes what src has to w, whose headers are set, until the client leaves or src ends. The error says
// why it ended; it is nil where src did.
func Serve(ctx context.Context, w http.ResponseWriter, src Source, o Options) error {
	rc := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	idle := time.NewTimer(o.Heartbeat)
	defer idle.Stop()
	var frames [][]byte
	for {
		clear(frames)
		var ended error
		frames, ended = src.Next(frames[:0], maxWrite)
		if len(frames) > 0 {
			if err := write(rc, w, frames, o.WriteTimeout); err != nil {
				return err
			}
			idle.Reset(o.Heartbeat)
		}
		switch {
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			return ended
		case len(frames) > 0:
			if ctx.Err() == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-src.Wake():
		case <-idle.C:
			if err := write(rc, w, [][]byte{src.Idle()}, o.WriteTimeout); err != nil {
				return err
			}
			idle.Reset(o.Heartbeat)
		}
	}
}

// write sends frames with one flush. A client that takes nothing for the timeout is given up.
func write(rc *http.ResponseController, w io.Writer, frames [][]byte, timeout time.Duration) error {
	extend := func() error {
		if err := rc.SetWriteDeadline(time.Now().Add(timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return nil
	}
	fresh := maxPiece // bytes written since the deadline was set
	for _, f := range frames {
		for len(f) > 0 {
			if fresh >= maxPiece {
				if err := extend(); err != nil {
					return err
				}
				fresh = 0
			}
			n, err := w.Write(f[:min(len(f), maxPiece-fresh)])
			if err != nil {
				return err
			}
			f, fresh = f[n:], fresh+n
		}
	}
	if err := rc.Flush(); err != nil {
		return err
	}
	// Between writes there is none: a server's own write timeout is not for streams.
	if err := rc.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
