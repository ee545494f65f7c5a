package stream

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

const (
	// maxPacket is how many bytes quic-go sends in one packet at least.
	maxPacket = 1200
	// maxUnsent is how many bytes quic-go gets before a write waits until it has sent them.
	maxUnsent = 4 << 10
	// maxFrame is how many bytes a DATA frame has at most: each long one takes a goroutine.
	maxFrame = maxBatch
)

// holdHTTP3 takes over a stream of HTTP/3. If it does not, it may have sent the headers nevertheless.
func holdHTTP3(w http.ResponseWriter, src Source, t *Timing) (bool, error) {
	inner, ok := Innermost(w).(interface {
		http.ResponseWriter
		http3.HTTPStreamer
	})
	if !ok {
		return false, nil
	}
	// Through the wrappers, so that each of them can change the headers and the status.
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		src.Close(err)
		return true, nil
	}
	if inner.Header().Get("Content-Encoding") != "" { // the body has to go through the wrapper that encodes it
		return false, nil
	}
	o := new(quicStream)
	handle, err := Adopt(o, src, t)
	if err != nil {
		return false, err
	}
	str := inner.HTTPStream()
	str.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError)) // quic-go forgets no stream that may still be read from
	// Only the QUIC stream is kept, as the one of HTTP/3 keeps the request.
	o.str, o.handle = str.QUICStream(), handle
	_ = o.str.SetWriteDeadline(time.Time{}) // wrappers may have set one
	context.AfterFunc(o.str.Context(), o.gone)
	handle.Room()
	return true, nil
}

// quicStream is the outlet of a stream of HTTP/3.
//
// quic-go has two ways to write. TryWriteAll never waits, but keeps as much as fits into the client's window. Write waits until all
// that TryWriteAll has kept is sent, and all but a packet of its own. So small writes use TryWriteAll until maxUnsent bytes may be
// unsent; the next one uses Write, on a goroutine, and so do large ones. The goroutine hardly waits if the client takes what it gets.
type quicStream struct {
	str    *quic.Stream
	handle Handle

	mu     sync.Mutex // guards what follows
	unsent int        // bytes that quic-go may not have sent yet
	wrote  int        // bytes that a goroutine has written, and that the loop does not know of yet
	waits  bool       // a goroutine writes
	slow   bool       // the last goroutine took long
	permit bool       // it may start a goroutine
	over   bool
	err    error
}

// Write gives quic-go a DATA frame with as much of b as it may have.
func (o *quicStream) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return 0, o.err
	case o.wrote > 0:
		n := o.wrote
		o.wrote = 0
		return n, nil
	case o.waits:
		return 0, syscall.EAGAIN
	}
	f := dataFrames.Get().(*dataFrame)
	n := f.fill(b)
	if !o.permit && n <= maxPacket && o.unsent+n <= maxUnsent {
		err := o.str.TryWriteAll(f.bytes)
		if err == nil {
			o.unsent += n
			dataFrames.Put(f)
			return n, nil
		}
		if !errors.Is(err, quic.ErrWouldBlock) { // the client's window is full
			dataFrames.Put(f)
			return 0, err
		}
	}
	shared := !o.slow
	if shared && !o.permit && !thePermits.take(o) {
		dataFrames.Put(f)
		return 0, syscall.EAGAIN
	}
	o.permit, o.waits = false, true
	go o.wait(f, n, shared)
	return 0, syscall.EAGAIN
}

// wait writes a frame with n bytes of the stream, and waits for that. shared says whether it has a permit.
func (o *quicStream) wait(f *dataFrame, n int, shared bool) {
	begun := time.Now()
	var stuck *time.Timer
	if shared {
		stuck = time.AfterFunc(stuckAfter, thePermits.end)
	}
	_, err := o.str.Write(f.bytes)
	dataFrames.Put(f)
	if shared && stuck.Stop() {
		thePermits.end()
	}
	o.mu.Lock()
	o.waits, o.slow, o.unsent = false, time.Since(begun) >= stuckAfter, n
	if o.err = err; err == nil {
		o.wrote = n
	}
	o.mu.Unlock()
	o.handle.Room()
}

// begin gives the stream a permit, and reports whether it takes it.
func (o *quicStream) begin() bool {
	o.mu.Lock()
	o.permit = !o.over
	begun := o.permit
	o.mu.Unlock()
	if begun {
		o.handle.Room()
	}
	return begun
}

// finish gives back the permit that the stream may have.
func (o *quicStream) finish() {
	o.mu.Lock()
	permit := o.permit
	o.permit, o.over = false, true
	o.mu.Unlock()
	if permit {
		thePermits.end()
	}
}

// End ends the stream, which the client sees.
func (o *quicStream) End(reason error) {
	o.finish()
	if reason == nil {
		_ = o.str.Close()
		return
	}
	o.cancel()
}

// gone is called when nothing can be written any more.
func (o *quicStream) gone() {
	if errors.Is(context.Cause(o.str.Context()), context.Canceled) { // by Close, and quic-go still sends what it has
		return
	}
	o.finish()
	o.handle.Left(errLeft)
	o.cancel()
}

// cancel makes quic-go forget the stream, and reset it unless the client has done so.
func (o *quicStream) cancel() { o.str.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled)) }

// dataFrame is a DATA frame of HTTP/3 (RFC 9114, section 7.2.1).
type dataFrame struct {
	bytes []byte
	room  [1 + 8 + maxFrame]byte
}

var dataFrames = sync.Pool{New: func() any { return new(dataFrame) }}

// fill makes a frame of as much of b as one holds, and returns how much that is.
func (f *dataFrame) fill(b []byte) int {
	b = b[:min(len(b), maxFrame)]
	f.bytes = append(quicvarint.Append(append(f.room[:0], 0), uint64(len(b))), b...)
	return len(b)
}
