package http2

import (
	"errors"
	"slices"

	"golang.org/x/net/http2"
)

var (
	errLeft     = errors.New("the client left")
	errReset    = errors.New("the stream was reset")
	errReplaced = errors.New("the stream was ended by its server")
	errClosed   = errors.New("the connection was closed")
)

// These hold until the inner server's SETTINGS say otherwise.
const (
	defaultMaxStreams = 100
	defaultMaxFrame   = 16 << 10
	defaultTableSize  = 4 << 10
)

// busy is after how many requests to an inner server, beside held streams, the client gets its header table back.
const busy = 4

// verdict says what becomes of a frame. The zero verdict is that it goes on as it is.
type verdict struct {
	drop    bool   // nothing of it goes on
	instead []byte // goes on in place of the header and the part that was looked at
	wake    bool   // the frame is for an inner server that has to be made
}

// state is all that is known of a connection. Its methods take in frames, and say what becomes of them. They leave what else has
// to be done in the fields from out on; the caller takes it from there.
type state struct {
	settings settings
	windows  windows
	streams  streams

	highest    uint32 // the highest id of a stream of the client's
	base       uint32 // highest, as of when the inner server was made
	pushed     uint32 // the highest id of a pushed stream
	basePushed uint32
	held       int // how many streams are held

	clientBlock uint32 // the stream of the client's header block under way, or 0
	serverBlock uint32
	dropBlock   bool // the client's header block under way does not go on

	live       bool   // there is an inner server
	fresh      bool   // it is not the first
	greeting   bool   // the fresh inner server has neither sent a WINDOW_UPDATE of the connection nor got data
	replaying  bool   // the fresh inner server has not acknowledged the client's settings yet
	second     []byte // the second frame of these settings
	maxStreams uint32
	maxFrame   uint32

	unacked      int  // the client's SETTINGS that the inner server has not acknowledged
	pings        int  // the client's PINGs that the inner server has not answered
	firstUnacked bool // the client has not acknowledged the first inner server's SETTINGS

	tableSize    uint32 // how large the client's header table may be for an inner server
	tableSince   uint32 // highest when the client was last told a size; 0 if it was not
	tableEmpty   bool   // that size was 0
	tableUnacked bool   // the client has not acknowledged it

	goneAway bool   // the client was told to open no more streams
	last     uint32 // the highest stream that it then was told of
	allow    allowance

	signals []*signal // that handlers have announced, and that have not come
	update  []byte    // the buffer of a WINDOW_UPDATE for the inner server

	// What is left to do.
	out     []byte  // frames for the client
	toInner []byte  // frames for the inner server
	left    []ended // held streams that are over
	came    []*signal
	roomy   bool // there is more room for held streams
	failed  http2.ErrCode
	broken  bool // the connection has to be closed, with failed
}

// ended is a held stream that is over.
type ended struct {
	stream *Stream
	reason error
}

func newState() state {
	return state{
		windows: newWindows(), live: true, firstUnacked: true,
		maxStreams: defaultMaxStreams, maxFrame: defaultMaxFrame, tableSize: defaultTableSize, allow: newAllowance(),
	}
}

// settled reports whether nothing is left to do, as on a connection without held streams after nearly every frame.
func (s *state) settled() bool {
	return s.held == 0 && s.live && !s.broken && len(s.out) == 0 && len(s.left) == 0 && len(s.came) == 0
}

// fail closes the connection with an error.
func (s *state) fail(code http2.ErrCode) verdict {
	if !s.broken {
		s.broken, s.failed = true, code
		s.abandon(errClosed)
	}
	return verdict{drop: true}
}

// refuse is what becomes of a frame that is wrong: the inner server says so to the client if there is one.
func (s *state) refuse(code http2.ErrCode) verdict {
	if s.live {
		return verdict{}
	}
	return s.fail(code)
}

// abandon ends all held streams.
func (s *state) abandon(reason error) {
	for _, st := range slices.Clone(s.streams) {
		if st.held {
			s.leave(st, reason)
		}
	}
}

// leave ends a held stream, of which the client has heard already.
func (s *state) leave(st *Stream, reason error) {
	if !st.held {
		return
	}
	st.held, st.muted = false, true
	s.held--
	s.left = append(s.left, ended{st, reason})
	if !st.inner {
		s.streams.remove(st)
	}
}

// innerDone notes that the inner server no longer has a stream.
func (s *state) innerDone(st *Stream) {
	st.inner = false
	if !st.held {
		s.streams.remove(st)
	}
}

// ids reports whether the inner server may see frames about a stream: whether it has it, or had it, or must say that there is none.
func (s *state) ids(id uint32) bool {
	if id%2 == 0 {
		return s.live && id > s.basePushed
	}
	return s.live && id > s.base
}

// idle reports whether no stream with this id was ever open.
func (s *state) idle(id uint32) bool {
	if id%2 == 0 {
		return id > s.pushed
	}
	return id > s.highest
}

// resetHeld resets a held stream, as the client misuses it.
func (s *state) resetHeld(st *Stream, code http2.ErrCode) {
	s.out = appendReset(s.out, st.id, code)
	if st.inner {
		s.toInner = appendReset(s.toInner, st.id, code)
		st.inner = false
	}
	s.leave(st, errReset)
}

// goAway tells the client to open no more streams than up to last, or fewer if it was told so before.
func (s *state) goAway(code http2.ErrCode, last uint32) {
	s.out = appendGoAway(s.out, s.goesAway(last), code)
}

// goesAway notes that the client is told of a last stream, and returns which: it is never raised.
func (s *state) goesAway(last uint32) uint32 {
	if s.goneAway {
		last = min(last, s.last)
	}
	s.goneAway, s.last = true, last
	return last
}

// resizeTable tells the client how large its header table may be.
func (s *state) resizeTable(size uint32) {
	s.tableSince, s.tableEmpty, s.tableUnacked = s.highest, size == 0, true
	s.out = appendSettings(s.out, http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
}

// noteRequest gives the client its header table back if it makes many requests: without one, each request costs more.
func (s *state) noteRequest() {
	if s.tableEmpty && !s.tableUnacked && s.highest-max(s.base, s.tableSince) >= 2*busy {
		s.resizeTable(s.tableSize)
	}
}

// mayRelease reports whether the inner server can be let go, if its reader and its writer are between two frames.
func (s *state) mayRelease() bool { return s.isSpare() && s.tableEmpty && !s.tableUnacked }

// isSpare is mayRelease, whatever is in the client's header table.
func (s *state) isSpare() bool {
	return s.live && s.held > 0 && !s.broken && !s.replaying && s.pings == 0 &&
		s.clientBlock == 0 && s.serverBlock == 0 && len(s.toInner) == 0 && s.windows.sparesInner() &&
		!slices.ContainsFunc(s.streams, func(st *Stream) bool { return st.inner })
}

// release lets the inner server go.
func (s *state) release() {
	s.live, s.fresh, s.toInner = false, false, nil
	// The inner server acknowledges several SETTINGS at once at times.
	for ; s.unacked > 0; s.unacked-- {
		s.out = appendSettingsAck(s.out)
	}
	s.windows.inner = initialWindow
	if s.goneAway {
		s.windows.inner = 0 // there will be no other
	}
}

// sleep undoes wake, as no server is there. The client is told that its new streams were not processed.
func (s *state) sleep() {
	for _, st := range slices.Clone(s.streams) {
		if st.inner {
			s.innerDone(st)
		}
	}
	s.live, s.fresh, s.greeting, s.replaying, s.toInner, s.second = false, false, false, false, nil, nil
	s.dropBlock = true
	s.goAway(http2.ErrCodeNo, s.base)
	s.windows.inner = 0
}

// wake makes a fresh inner server. Its first bytes are in toInner; all others have to wait until replaying ends.
func (s *state) wake() {
	s.live, s.fresh, s.greeting, s.replaying = true, true, true, true
	s.base, s.basePushed = s.highest, s.pushed
	first, second := s.settings.replay()
	s.toInner = append(append(s.toInner, http2.ClientPreface...), first...)
	s.second = second
}

// replayed takes in a fresh inner server's acknowledgement of the client's settings.
func (s *state) replayed() {
	if s.second != nil {
		s.toInner = append(s.toInner, s.second...)
		s.second = nil
		return
	}
	s.replaying = false
	s.toInner = appendSettingsAck(s.toInner) // the client's, which acknowledged the same to the first one
	if n := s.windows.share(); n > 0 {
		s.toInner = appendWindowUpdate(s.toInner, 0, n)
	}
}

// take takes up to n bytes of the windows for a held stream.
func (s *state) take(st *Stream, n int) int {
	got := int(max(min(int64(n), st.window, s.windows.room()), 0))
	st.window -= int64(got)
	s.windows.toClient -= int64(got)
	s.allow.earn(got)
	return got
}
