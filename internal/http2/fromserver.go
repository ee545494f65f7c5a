package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// serverPrefix returns how much of an inner server's frame state.server looks at.
func (s *state) serverPrefix(h header) int {
	most := 0
	switch h.kind {
	case http2.FrameData:
		if len(s.signals) > 0 && h.length <= signalLen {
			most = signalLen
		}
	case http2.FrameSettings:
		most = maxPrefix
	case http2.FrameWindowUpdate, http2.FramePushPromise:
		most = 4
	case http2.FrameGoAway:
		most = 8
	}
	return min(int(h.length), most)
}

// server takes in a frame of the inner server's, which are all valid. p is the start of its payload.
func (s *state) server(h header, p []byte) verdict {
	switch h.kind {
	case http2.FrameData:
		return s.serverData(h, p)
	case http2.FrameHeaders:
		return s.serverHeaders(h)
	case http2.FrameContinuation:
		if h.endHeaders() {
			s.serverBlock = 0
		}
	case http2.FramePushPromise:
		s.serverPush(h, p)
	case http2.FrameRSTStream:
		return s.serverReset(h)
	case http2.FrameSettings:
		return s.serverSettings(h, p)
	case http2.FrameWindowUpdate:
		return s.serverWindowUpdate(h, p)
	case http2.FramePing:
		if h.ack() {
			s.pings--
		}
	case http2.FrameGoAway:
		return s.serverGoAway(h, p)
	}
	return verdict{}
}

func (s *state) serverData(h header, p []byte) verdict {
	st := s.streams.find(h.id)
	if st == nil {
		s.sent(h.length)
		return verdict{}
	}
	if len(s.signals) > 0 && st.inner && !st.held && s.isSignal(st, h, p) {
		s.windows.swallowed(h.length)
		return verdict{drop: true}
	}
	if st.muted || st.held && h.length == 0 {
		s.windows.swallowed(h.length)
		if h.endStream() {
			s.innerDone(st)
		}
		return verdict{drop: true}
	}
	s.sent(h.length)
	st.window -= int64(h.length)
	s.serverEnd(st, h)
	return verdict{}
}

// sent notes data of the inner server that goes to the client, and gives the inner server more of the window if it needs it.
func (s *state) sent(n uint32) {
	s.windows.sent(n)
	if s.windows.isLow() {
		if more := s.windows.share(); more > 0 {
			s.toInner = appendWindowUpdate(s.toInner, 0, more)
		}
	}
}

// serverEnd notes the END_STREAM of a frame that goes to the client.
func (s *state) serverEnd(st *Stream, h header) {
	if !h.endStream() {
		return
	}
	s.leave(st, errReplaced)
	if st.serverEnded = true; st.clientEnded {
		s.innerDone(st)
	}
}

func (s *state) serverHeaders(h header) verdict {
	if !h.endHeaders() {
		s.serverBlock = h.id
	}
	// Those of a held stream are trailers. They have to reach the client, as its header table follows from them.
	if st := s.streams.find(h.id); st != nil {
		s.serverEnd(st, h)
	}
	return verdict{}
}

func (s *state) serverPush(h header, p []byte) {
	if !h.endHeaders() {
		s.serverBlock = h.id
	}
	if len(p) == 4 && !h.flags.Has(http2.FlagPushPromisePadded) {
		s.pushed = binary.BigEndian.Uint32(p) & maxWindow
		s.streams.add(&Stream{id: s.pushed, inner: true, clientEnded: true, window: s.settings.window()})
	}
}

func (s *state) serverReset(h header) verdict {
	st := s.streams.find(h.id)
	if st == nil {
		return verdict{}
	}
	muted := st.muted
	s.leave(st, errReset)
	s.innerDone(st)
	return verdict{drop: muted}
}

func (s *state) serverSettings(h header, p []byte) verdict {
	switch {
	case !h.ack() && s.fresh: // the client has had the same of the first one
		return verdict{drop: true}
	case !h.ack():
		for ; len(p) >= settingLen; p = p[settingLen:] {
			value := binary.BigEndian.Uint32(p[2:])
			switch http2.SettingID(binary.BigEndian.Uint16(p)) {
			case http2.SettingMaxConcurrentStreams:
				s.maxStreams = value
			case http2.SettingMaxFrameSize:
				s.maxFrame = value
			case http2.SettingHeaderTableSize:
				s.tableSize = value
			}
		}
	case s.replaying:
		s.replayed()
		return verdict{drop: true}
	case s.unacked > 0:
		s.unacked--
	}
	return verdict{}
}

func (s *state) serverWindowUpdate(h header, p []byte) verdict {
	n := binary.BigEndian.Uint32(p) & maxWindow
	switch {
	case h.id != 0:
		st := s.streams.find(h.id)
		return verdict{drop: st != nil && (st.held || st.muted)}
	case s.greeting:
		s.greeting = false
		if n = s.windows.greet(n); n == 0 {
			return verdict{drop: true}
		}
		return verdict{instead: appendWindowUpdate(nil, 0, n)}
	}
	s.windows.fromClient += int64(n)
	return verdict{}
}

// serverGoAway takes in the inner server's GOAWAY, which names the last stream that the inner server knows. Older ones are not to be
// taken for unprocessed by the client.
func (s *state) serverGoAway(h header, p []byte) verdict {
	last := binary.BigEndian.Uint32(p) & maxWindow
	code := http2.ErrCode(binary.BigEndian.Uint32(p[4:]))
	for i := len(s.streams) - 1; i >= 0; i-- {
		if st := s.streams[i]; st.inner && st.id > last && st.id%2 == 1 {
			s.innerDone(st) // the inner server ignores it
		}
	}
	last = s.goesAway(max(last, s.base))
	if code != http2.ErrCodeNo {
		s.abandon(errClosed)
	}
	instead := binary.BigEndian.AppendUint32(h.append(nil), last)
	return verdict{instead: binary.BigEndian.AppendUint32(instead, uint32(code))}
}
