package http2

import (
	"crypto/rand"
	"encoding/hex"
)

// signalLen is the length of a signal: a colon, 32 hexadecimal digits and a newline. For a client this is a comment of an event stream.
const signalLen = 34

// signal is a DATA frame by which a handler names the stream that it wants to have held. Only the frame says which stream it is on.
type signal struct {
	text   [signalLen]byte
	came   chan struct{} // closed when the signal has come
	stream *Stream       // the stream that is held then; nil if it could not be. To be read after came.
}

func newSignal() *signal {
	s := &signal{came: make(chan struct{})}
	var random [(signalLen - 2) / 2]byte
	_, _ = rand.Read(random[:]) // which never fails
	s.text[0], s.text[signalLen-1] = ':', '\n'
	hex.Encode(s.text[1:], random[:])
	return s
}

// isSignal reports whether a DATA frame is a signal that a handler has announced, so that the client does not get it. If the client's
// window was small, the signal comes in pieces. These go to the client, and so does the signal of a stream that cannot be held.
func (s *state) isSignal(st *Stream, h header, p []byte) bool {
	before := st.part
	st.part = nil
	if len(p) != int(h.length) || len(p) == 0 || h.flags != 0 {
		return false
	}
	text := string(p)
	if before != nil {
		text = *before + text
	}
	for _, one := range s.signals {
		switch {
		case len(text) > signalLen || string(one.text[:len(text)]) != text:
		case len(text) == signalLen:
			return s.hold(st, one) && before == nil
		default:
			st.part = &text
		}
	}
	return false
}

// mayHold reports whether a stream of the client can be held.
func (s *state) mayHold() bool {
	return s.live && s.windows.ample && s.held < int(s.maxStreams) && !s.broken
}

// hold holds a stream whose signal has come, and reports whether it can be.
func (s *state) hold(st *Stream, one *signal) bool {
	s.forget(one)
	s.came = append(s.came, one)
	if !st.clientEnded || !s.mayHold() {
		return false
	}
	one.stream, st.held = st, true
	if s.held++; s.tableSince == 0 {
		s.resizeTable(0)
	}
	return true
}

// forget removes a signal.
func (s *state) forget(one *signal) {
	for i := range s.signals {
		if s.signals[i] == one {
			s.signals = append(s.signals[:i], s.signals[i+1:]...)
			break
		}
	}
	if len(s.signals) == 0 {
		s.signals = nil
	}
}
