package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// uploadWindow is what an inner server lets a client send.
const uploadWindow = 1 << 20

// model is a client, a state, and an inner server, which exchange frames without a network. It fails as soon as one of the three
// believes something about a window that is not so, or as the inner server sees a frame that it would close the connection for.
type model struct {
	t     testing.TB
	next  func(n int) int // the next choice, below n
	state state
	log   []string

	client struct {
		window, initial, upload int64
		streams                 map[uint32]*modelStream // those open for the client
		highest                 uint32
		unacked, pings          int
		unsettled               []uint32 // the sizes of the header table in SETTINGS that it has not acknowledged
		headers                 *hpack.Encoder
		block                   bytes.Buffer // what headers writes
		fields                  []hpack.HeaderField
	}
	server struct {
		window, initial, upload int64
		streams                 map[uint32]*modelStream
		highest                 uint32
		settingsOut             int
		signals                 map[uint32]*signal
		late                    []byte // a WINDOW_UPDATE that follows an ACK
		owes                    bool   // an ACK, for one frame or several
		headers                 *hpack.Decoder
	}
}

// modelStream is a stream, as one of the ends sees it.
type modelStream struct {
	window      int64
	clientEnded bool
	done        bool // the server has said all
}

func newModel(t testing.TB, next func(n int) int) *model {
	m := &model{t: t, next: next, state: newState()}
	m.client.window, m.client.initial, m.client.upload = initialWindow, initialWindow, initialWindow
	m.client.streams = map[uint32]*modelStream{}
	m.client.headers = hpack.NewEncoder(&m.client.block)
	m.serve()
	m.client.unacked++
	m.fromClient(http2.FrameSettings, 0, 0, nil)
	if next(4) > 0 {
		n := minWindow + next(10<<20)
		m.client.window += int64(n)
		m.fromClient(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
	return m
}

func (m *model) fatal(format string, args ...any) {
	m.t.Helper()
	for _, line := range m.log[max(len(m.log)-60, 0):] {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

// serve begins an inner server.
func (m *model) serve() {
	s := &m.server
	s.window, s.initial, s.upload = initialWindow, initialWindow, uploadWindow
	s.streams, s.signals, s.highest, s.settingsOut = map[uint32]*modelStream{}, map[uint32]*signal{}, 0, 1
	s.owes = false
	s.headers = hpack.NewDecoder(defaultTableSize, nil)
	m.fromServer(http2.FrameSettings, 0, 0, appendSettings(nil, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 30})[headerLen:])
	update := binary.BigEndian.AppendUint32(nil, uploadWindow-initialWindow)
	if m.next(2) == 0 {
		m.fromServer(http2.FrameWindowUpdate, 0, 0, update)
	} else {
		s.late = update
	}
}

// fromClient sends a frame of the client's, and what follows from it.
func (m *model) fromClient(kind http2.FrameType, flags http2.Flags, id uint32, p []byte) {
	m.t.Helper()
	h := header{uint32(len(p)), kind, flags, id}
	m.log = append(m.log, fmt.Sprintf("client %v %d %d:%d", kind, flags, id, len(p)))
	v := m.state.client(h, p[:min(clientPrefix(h), len(p))])
	if v.wake {
		m.feedPreface()
		m.serve()
		for m.state.replaying {
			m.feedServer()
			m.log = append(m.log, "replay")
			m.fromServer(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
		}
	}
	m.feedServer()
	switch {
	case v.instead != nil:
		m.atServer(parseHeader(v.instead), v.instead[headerLen:])
	case !v.drop:
		m.atServer(h, p)
	}
	m.settle()
}

// feedPreface takes the preface off what is for a fresh inner server.
func (m *model) feedPreface() {
	if string(m.state.toInner[:24]) != http2.ClientPreface {
		m.fatal("no preface")
	}
	m.state.toInner = m.state.toInner[24:]
}

// feedServer gives the inner server what the state has for it.
func (m *model) feedServer() {
	b := m.state.toInner
	m.state.toInner = nil
	for len(b) > 0 {
		h := parseHeader(b)
		m.atServer(h, b[headerLen:headerLen+h.length])
		b = b[headerLen+h.length:]
	}
}

// fromServer sends a frame of the inner server's.
func (m *model) fromServer(kind http2.FrameType, flags http2.Flags, id uint32, p []byte) {
	m.t.Helper()
	h := header{uint32(len(p)), kind, flags, id}
	m.log = append(m.log, fmt.Sprintf("server %v %d %d:%d", kind, flags, id, len(p)))
	v := m.state.server(h, p[:m.state.serverPrefix(h)])
	switch {
	case v.instead != nil:
		m.atClient(parseHeader(v.instead), v.instead[headerLen:])
	case !v.drop:
		m.atClient(h, p)
	}
	m.feedServer()
	if update := m.server.late; update != nil && kind == http2.FrameSettings && h.ack() {
		m.server.late = nil
		m.fromServer(http2.FrameWindowUpdate, 0, 0, update)
	}
}

// settle gives the client what the state has for it.
func (m *model) settle() {
	b := m.state.out
	m.state.out = nil
	for len(b) > 0 {
		h := parseHeader(b)
		m.atClient(h, b[headerLen:headerLen+h.length])
		b = b[headerLen+h.length:]
	}
	m.state.left, m.state.came, m.state.roomy = nil, nil, false
	if m.state.broken {
		m.fatal("the connection is broken: %v", m.state.failed)
	}
}

// atClient is a frame that the client gets.
func (m *model) atClient(h header, p []byte) {
	m.t.Helper()
	c := &m.client
	m.log = append(m.log, fmt.Sprintf("    to client %v %d %d:%d", h.kind, h.flags, h.id, h.length))
	st := c.streams[h.id]
	switch h.kind {
	case http2.FrameData, http2.FrameHeaders:
		if st == nil {
			if h.id > c.highest || h.kind == http2.FrameData && h.length > 0 {
				m.fatal("%v for stream %d", h.kind, h.id)
			}
			break
		}
		if h.kind == http2.FrameData {
			if c.window, st.window = c.window-int64(h.length), st.window-int64(h.length); h.length > 0 && min(c.window, st.window) < 0 {
				m.fatal("windows of %d and %d", c.window, st.window)
			}
		}
		if h.endStream() {
			delete(c.streams, h.id)
		}
	case http2.FrameRSTStream:
		delete(c.streams, h.id)
	case http2.FrameWindowUpdate:
		if n := int64(binary.BigEndian.Uint32(p)); h.id == 0 {
			if c.upload += n; n == 0 || c.upload > uploadWindow {
				m.fatal("an upload window of %d", c.upload)
			}
		}
	case http2.FrameSettings:
		if !h.ack() {
			m.unsettle(p)
		} else if c.unacked--; c.unacked < 0 {
			m.fatal("too many ACKs")
		}
	case http2.FramePing:
		c.pings--
	}
}

// unsettle is a SETTINGS frame that the client gets. It may follow it at once, or later.
func (m *model) unsettle(p []byte) {
	size := uint32(defaultTableSize)
	for ; len(p) > 0; p = p[settingLen:] {
		if http2.SettingID(binary.BigEndian.Uint16(p)) == http2.SettingHeaderTableSize {
			size = binary.BigEndian.Uint32(p[2:])
		}
	}
	if m.client.unsettled = append(m.client.unsettled, size); m.next(2) == 0 {
		m.follow()
	}
}

// follow makes the client follow all SETTINGS that it has got.
func (m *model) follow() {
	for len(m.client.unsettled) > 0 {
		m.client.headers.SetMaxDynamicTableSize(m.client.unsettled[0])
		m.client.unsettled = m.client.unsettled[1:]
		m.fromClient(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	}
}

// atServer is a frame that the inner server gets. It may answer.
func (m *model) atServer(h header, p []byte) {
	m.t.Helper()
	s := &m.server
	m.log = append(m.log, fmt.Sprintf("    to server %v %d %d:%d", h.kind, h.flags, h.id, h.length))
	st := s.streams[h.id]
	if st == nil && h.id > s.highest && h.kind != http2.FrameHeaders && h.kind != http2.FramePriority {
		m.fatal("%v for stream %d, which is idle", h.kind, h.id)
	}
	switch h.kind {
	case http2.FrameHeaders:
		if st == nil {
			if h.id <= s.highest {
				m.fatal("HEADERS for stream %d after %d", h.id, s.highest)
			}
			s.highest = h.id
			st = &modelStream{window: s.initial}
			s.streams[h.id] = st
		}
		if fields, err := s.headers.DecodeFull(p); err != nil || !slices.Equal(fields, m.client.fields) {
			m.fatal("the inner server reads %v, %v", fields, err)
		}
		st.clientEnded = h.endStream()
	case http2.FrameData:
		if s.upload -= int64(h.length); s.upload < 0 {
			m.fatal("an upload window of %d", s.upload)
		}
		if st != nil {
			st.clientEnded = h.endStream()
		}
		m.refund(int(h.length))
	case http2.FrameRSTStream:
		delete(s.streams, h.id)
	case http2.FrameWindowUpdate:
		n := int64(binary.BigEndian.Uint32(p))
		if h.id == 0 {
			s.window += n
		} else if st != nil {
			st.window += n
		}
	case http2.FrameSettings:
		if h.ack() {
			if s.settingsOut--; s.settingsOut < 0 {
				m.fatal("the inner server has sent no more SETTINGS")
			}
			return
		}
		for ; len(p) > 0; p = p[settingLen:] {
			if http2.SettingID(binary.BigEndian.Uint16(p)) == http2.SettingInitialWindowSize {
				v := int64(binary.BigEndian.Uint32(p[2:]))
				for _, st := range s.streams {
					st.window += v - s.initial
				}
				s.initial = v
			}
		}
		if s.owes = !m.state.replaying; m.next(2) == 0 {
			m.acknowledge()
		}
	case http2.FramePing:
		m.fromServer(http2.FramePing, http2.FlagPingAck, 0, p)
	}
	for id, st := range s.streams {
		if st.done && st.clientEnded {
			delete(s.streams, id)
		}
	}
}

// acknowledge sends the inner server's ACK if it owes one.
func (m *model) acknowledge() {
	if m.server.owes {
		m.server.owes = false
		m.fromServer(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	}
}

// refund lets the client send again what the inner server got, or part of it.
func (m *model) refund(n int) {
	if n = n - m.next(2)*n/3; n > 0 {
		m.server.upload += int64(n)
		m.fromServer(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
}

// check compares what the three believe.
func (m *model) check() {
	m.t.Helper()
	w := m.state.windows
	if w.toClient != m.client.window {
		m.fatal("T is %d, not %d", w.toClient, m.client.window)
	}
	if w.fromClient != m.client.upload {
		m.fatal("U is %d, not %d", w.fromClient, m.client.upload)
	}
	if m.state.live && w.inner != m.server.window {
		m.fatal("I is %d, not %d", w.inner, m.server.window)
	}
	if w.inner > w.toClient {
		m.fatal("I is %d, T %d", w.inner, w.toClient)
	}
	if m.state.live && m.server.upload < m.client.upload {
		m.fatal("the client may send %d, the inner server accepts %d", m.client.upload, m.server.upload)
	}
	if m.state.live && w.ample && w.toClient > minWindow && w.inner < w.toClient/8-signalLen*30 {
		m.fatal("the inner server may use %d of %d", w.inner, w.toClient)
	}
	for _, st := range m.state.streams {
		if c := m.client.streams[st.id]; c != nil && c.window != st.window {
			m.fatal("stream %d has a window of %d, not %d", st.id, st.window, c.window)
		}
		if st.inner != (m.state.live && m.server.streams[st.id] != nil) {
			m.fatal("stream %d: the inner server has it: %v", st.id, !st.inner)
		}
		if st.held && m.client.streams[st.id] == nil {
			m.fatal("stream %d is held, but not open", st.id)
		}
	}
}

func TestModel(t *testing.T) {
	releases, held, restored := 0, 0, 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 12))
		m := newModel(t, random.IntN)
		for range 1000 {
			before, live, empty := m.state.held, m.state.live, m.state.tableEmpty
			m.state.allow = newAllowance()
			m.step()
			held += max(m.state.held-before, 0)
			if live && !m.state.live {
				releases++
			}
			if empty && !m.state.tableEmpty {
				restored++
			}
		}
	}
	t.Logf("%d streams held, %d inner servers let go, %d header tables given back", held, releases, restored)
	if held < 1000 || releases < 1000 || restored < 100 {
		t.Error("this tests too little")
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		next := func(n int) int {
			v := 0
			for size := n - 1; size > 0; size >>= 8 {
				v <<= 8
				if len(b) > 0 {
					v |= int(b[0])
					b = b[1:]
				}
			}
			return v % n
		}
		m := newModel(t, next)
		for len(b) > 0 {
			m.state.allow = newAllowance()
			m.step()
		}
	})
}
