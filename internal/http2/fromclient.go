package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// clientPrefix returns how much of a client's frame state.client looks at.
func clientPrefix(h header) int {
	switch h.kind {
	case http2.FrameSettings, http2.FrameWindowUpdate, http2.FramePing:
		return int(min(h.length, maxPrefix))
	case http2.FramePriorityUpdate:
		return int(min(h.length, 4))
	}
	return 0
}

// client takes in a frame of the client's. p is the start of its payload.
func (s *state) client(h header, p []byte) verdict {
	var v verdict
	switch {
	case s.clientBlock == 0 && h.length > s.maxFrame:
		return s.refuse(http2.ErrCodeFrameSize)
	case s.clientBlock == 0:
		v = s.clientFrame(h, p)
	case h.kind != http2.FrameContinuation || h.id != s.clientBlock || h.length > s.maxFrame:
		return s.refuse(http2.ErrCodeProtocol)
	default:
		if v.drop = s.dropBlock; h.endHeaders() {
			s.clientBlock = 0
		}
	}
	// What goes on is counted by the inner server, and requests by its limit of streams.
	if (v.drop || !s.live) && !v.wake && !s.allow.spend(h.length) {
		return s.fail(http2.ErrCodeEnhanceYourCalm)
	}
	return v
}

func (s *state) clientFrame(h header, p []byte) verdict {
	switch h.kind {
	case http2.FrameHeaders:
		return s.clientHeaders(h)
	case http2.FrameData:
		return s.clientData(h)
	case http2.FrameRSTStream:
		return s.clientReset(h)
	case http2.FrameWindowUpdate:
		return s.clientWindowUpdate(h, p)
	case http2.FrameSettings:
		return s.clientSettings(h, p)
	case http2.FramePing:
		return s.clientPing(h, p)
	case http2.FramePriority:
		return s.clientPriority(h)
	case http2.FramePriorityUpdate:
		return s.clientPriorityUpdate(h, p)
	case http2.FrameGoAway:
		return s.clientGoAway(h)
	case http2.FrameContinuation, http2.FramePushPromise:
		return s.refuse(http2.ErrCodeProtocol)
	}
	return verdict{drop: !s.live}
}

func (s *state) clientHeaders(h header) verdict {
	st := s.streams.find(h.id)
	isOld := h.id <= s.highest && (st == nil || !st.inner)
	late := s.goneAway && h.id > s.last // the client does not know yet. The inner server ignores these as well.
	switch {
	case h.id%2 == 0:
		return s.refuse(http2.ErrCodeProtocol)
	case isOld && !late && !s.ids(h.id):
		return s.fail(http2.ErrCodeProtocol)
	}
	if s.dropBlock = late && !s.live; !h.endHeaders() {
		s.clientBlock = h.id
	}
	switch {
	case late:
		s.highest = max(s.highest, h.id) // so that more for this stream does not seem to be for an idle one
		return verdict{drop: s.dropBlock}
	case isOld: // the inner server says what is wrong
		return verdict{}
	case st != nil: // trailers
		s.clientEnd(st, h)
		return verdict{}
	}
	v := verdict{wake: !s.live}
	if v.wake {
		s.wake()
	}
	s.highest = h.id
	st = &Stream{id: h.id, inner: true, window: s.settings.window()}
	s.streams.add(st)
	s.clientEnd(st, h)
	s.noteRequest()
	return v
}

// clientEnd notes the END_STREAM of a frame that the inner server gets.
func (s *state) clientEnd(st *Stream, h header) {
	if !h.endStream() {
		return
	}
	if st.clientEnded = true; st.serverEnded {
		s.innerDone(st)
	}
}

func (s *state) clientData(h header) verdict {
	if h.id == 0 {
		return s.refuse(http2.ErrCodeProtocol)
	}
	s.windows.fromClient -= int64(h.length)
	s.greeting = false // the inner server has sent its WINDOW_UPDATE along with its ACK, if there is one
	st := s.streams.find(h.id)
	switch {
	case st != nil && st.inner:
		s.clientEnd(st, h)
		return verdict{}
	case s.ids(h.id):
		return verdict{}
	case s.idle(h.id):
		return s.fail(http2.ErrCodeProtocol)
	case s.windows.fromClient < 0:
		return s.fail(http2.ErrCodeFlowControl)
	}
	if n := s.windows.refund(h.length); n > 0 {
		s.out = appendWindowUpdate(s.out, 0, n)
	}
	if st != nil {
		s.resetHeld(st, http2.ErrCodeStreamClosed)
	} else {
		s.out = appendReset(s.out, h.id, http2.ErrCodeStreamClosed)
	}
	return verdict{drop: true}
}

func (s *state) clientReset(h header) verdict {
	switch {
	case h.length != 4:
		return s.refuse(http2.ErrCodeFrameSize)
	case h.id == 0:
		return s.refuse(http2.ErrCodeProtocol)
	}
	if st := s.streams.find(h.id); st != nil {
		forInner := st.inner
		s.leave(st, errLeft)
		if forInner {
			s.innerDone(st)
		}
		return verdict{drop: !forInner}
	}
	return s.late(h)
}

// late takes in a frame for a stream that is not open.
func (s *state) late(h header) verdict {
	switch {
	case s.ids(h.id):
		return verdict{}
	case s.idle(h.id):
		return s.fail(http2.ErrCodeProtocol)
	}
	return verdict{drop: true}
}

func (s *state) clientWindowUpdate(h header, p []byte) verdict {
	if len(p) != 4 {
		return s.refuse(http2.ErrCodeFrameSize)
	}
	n := binary.BigEndian.Uint32(p) & maxWindow
	if h.id == 0 {
		return s.connectionWindow(n)
	}
	st := s.streams.find(h.id)
	if st == nil {
		return s.late(h)
	}
	st.window += int64(n)
	switch {
	case !st.held:
		return verdict{drop: st.muted}
	case n == 0:
		s.resetHeld(st, http2.ErrCodeProtocol)
	case st.window > maxWindow:
		s.resetHeld(st, http2.ErrCodeFlowControl)
	default:
		s.roomy = true
	}
	return verdict{drop: true}
}

func (s *state) connectionWindow(n uint32) verdict {
	if n == 0 {
		return s.refuse(http2.ErrCodeProtocol)
	}
	if s.windows.toClient+int64(n) > maxWindow {
		return s.fail(http2.ErrCodeFlowControl)
	}
	s.roomy = true
	if !s.live || s.replaying {
		s.windows.toClient += int64(n)
		return verdict{drop: true}
	}
	switch more, _ := s.windows.grant(n); more {
	case n:
		return verdict{}
	case 0:
		return verdict{drop: true}
	default:
		s.update = appendWindowUpdate(s.update[:0], 0, more)
		return verdict{instead: s.update}
	}
}

func (s *state) clientSettings(h header, p []byte) verdict {
	switch {
	case h.ack() && h.length > 0:
		return s.refuse(http2.ErrCodeFrameSize)
	case h.id != 0:
		return s.refuse(http2.ErrCodeProtocol)
	case h.ack():
		return s.clientSettingsAck()
	}
	before := s.settings.window()
	if code := s.settings.merge(p); code != http2.ErrCodeNo {
		return s.refuse(code)
	}
	for _, st := range s.streams {
		st.window += s.settings.window() - before
		if st.held && st.window > maxWindow {
			return s.fail(http2.ErrCodeFlowControl)
		}
	}
	s.roomy = true
	if s.live {
		s.unacked = min(s.unacked+1, maxAllowance) // an inner server that cannot write acknowledges any number at once
		return verdict{}
	}
	s.out = appendSettingsAck(s.out)
	return verdict{drop: true}
}

func (s *state) clientSettingsAck() verdict {
	switch {
	case s.firstUnacked:
		s.firstUnacked = false
		return verdict{} // it is the first inner server that runs, as none is let go before the table is empty
	case s.tableUnacked:
		s.tableUnacked = false
		return verdict{drop: true}
	}
	return s.refuse(http2.ErrCodeProtocol)
}

func (s *state) clientPing(h header, p []byte) verdict {
	switch {
	case h.length != 8:
		return s.refuse(http2.ErrCodeFrameSize)
	case h.id != 0:
		return s.refuse(http2.ErrCodeProtocol)
	case h.ack():
		return verdict{drop: !s.live}
	case s.live:
		s.pings++
		return verdict{}
	}
	s.out = header{8, http2.FramePing, http2.FlagPingAck, 0}.append(s.out)
	s.out = append(s.out, p...)
	return verdict{drop: true}
}

func (s *state) clientPriority(h header) verdict {
	switch {
	case h.id == 0:
		return s.refuse(http2.ErrCodeProtocol)
	case h.length != 5:
		return s.refuse(http2.ErrCodeFrameSize)
	}
	st := s.streams.find(h.id)
	return verdict{drop: !s.ids(h.id) || st != nil && st.held}
}

func (s *state) clientPriorityUpdate(h header, p []byte) verdict {
	switch {
	case h.id != 0:
		return s.refuse(http2.ErrCodeProtocol)
	case len(p) < 4:
		return s.refuse(http2.ErrCodeFrameSize)
	case binary.BigEndian.Uint32(p)&maxWindow == 0: // the stream that it is about
		return s.refuse(http2.ErrCodeProtocol)
	}
	return verdict{drop: !s.live}
}

func (s *state) clientGoAway(h header) verdict {
	switch {
	case h.id != 0:
		return s.refuse(http2.ErrCodeProtocol)
	case h.length < 8:
		return s.refuse(http2.ErrCodeFrameSize)
	case !s.live && !s.goneAway: // the inner server would do the same
		s.goAway(http2.ErrCodeNo, s.highest)
	}
	return verdict{drop: !s.live}
}
