// Package stream holds HTTP responses open and writes to them what their sources have.
//
// Hold takes a plain HTTP/1 connection over: it costs no goroutine, and is written to without ever blocking.
// Serve is for all others: it stays on the handler's goroutine.
package stream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Source is what a stream is fed from. The stream calls it from one goroutine at a time.
type Source interface {
	// Next appends what is to be written now, about max bytes of it. It returns nothing where there is
	// nothing to write, and io.EOF when the stream is to end behind what it returned. The frames are not
	// changed, and may be kept until they are written.
	Next(frames [][]byte, max int64) ([][]byte, error)
	// Ended reports whether Next will return io.EOF, whatever it has to return before.
	Ended() bool
	// Idle returns what keeps a silent stream open.
	Idle() []byte
	// OnWake sets what is called when Next may have something. It must not block.
	OnWake(func())
	// Close is called once, when the stream has ended. The error says why; it is nil where the source ended.
	Close(error)
}

// Options are how a stream is held.
type Options struct {
	Heartbeat    time.Duration // how long it may be silent
	WriteTimeout time.Duration // how long a client may take nothing
}

// maxWrite is how much goes out before it is flushed.
const maxWrite = 64 << 10

// maxPiece is how much of it a client has to take within the write timeout: one that is slow, but takes some, is
// not given up.
const maxPiece = 16 << 10

// Serve writes what src has to w, whose headers are set, until the client leaves or src ends.
func Serve(ctx context.Context, w http.ResponseWriter, src Source, o Options) {
	var reason error
	defer func() { src.Close(reason) }() // in a panic, too
	reason = serve(ctx, w, src, o)
}

func serve(ctx context.Context, w http.ResponseWriter, src Source, o Options) error {
	rc := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	wake := make(chan struct{}, 1)
	src.OnWake(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
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
		case len(frames) > 0 && ctx.Err() == nil:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
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
