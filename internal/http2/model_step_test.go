package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pick returns one of a map's streams, or 0.
func (m *model) pick(streams map[uint32]*modelStream) uint32 {
	ids := make([]uint32, 0, len(streams))
	for id := range streams {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return 0
	}
	slices.Sort(ids)
	return ids[m.next(len(ids))]
}

// step lets one of the three do something.
func (m *model) step() {
	switch who := m.next(10); {
	case who < 4:
		m.clientStep()
	case who < 8 && m.state.live:
		m.serverStep()
	default:
		m.ownStep()
	}
	m.settle()
	m.check()
}

func (m *model) clientStep() {
	c := &m.client
	id := m.pick(c.streams)
	if other := m.pick(m.server.streams); c.streams[other] != nil && m.next(2) == 0 {
		id = other // so that inner servers have nothing to do at times
	}
	number := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	switch m.next(13) {
	case 0, 1, 2:
		if len(m.server.streams) > 3 || len(c.streams) > 20 {
			return
		}
		c.highest += uint32(2*m.next(3) + 1)
		c.highest |= 1
		flags := http2.FlagHeadersEndHeaders | http2.Flags(min(m.next(4), 1))
		c.streams[c.highest] = &modelStream{window: c.initial, clientEnded: flags.Has(http2.FlagHeadersEndStream)}
		m.fromClient(http2.FrameHeaders, flags, c.highest, m.request())
	case 11:
		m.follow()
	case 3, 4, 10:
		if st := c.streams[id]; st != nil && !st.clientEnded {
			n := min(m.next(16<<10), int(c.upload))
			flags := http2.Flags(min(m.next(4), 1))
			c.upload -= int64(n)
			st.clientEnded = flags != 0
			m.fromClient(http2.FrameData, flags, id, make([]byte, n))
		}
	case 5:
		if id != 0 {
			delete(c.streams, id)
			m.fromClient(http2.FrameRSTStream, 0, id, number(8))
		}
	case 6:
		if n := m.next(16<<20) + 1; c.window+int64(n) < 20<<20 {
			c.window += int64(n)
			m.fromClient(http2.FrameWindowUpdate, 0, 0, number(n))
		}
	case 7:
		if n := m.next(1<<20) + 1; id != 0 {
			c.streams[id].window += int64(n)
			m.fromClient(http2.FrameWindowUpdate, 0, id, number(n))
		}
	case 8:
		v := m.next(100_000)
		for _, st := range c.streams {
			st.window += int64(v) - c.initial
		}
		c.initial = int64(v)
		c.unacked++
		settings := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: uint32(v)}, {ID: http2.SettingHeaderTableSize, Val: uint32(m.next(3) * 2000)}}
		m.fromClient(http2.FrameSettings, 0, 0, appendSettings(nil, settings...)[headerLen:])
	case 9:
		c.pings++
		if m.fromClient(http2.FramePing, 0, 0, make([]byte, 8)); c.pings != 0 {
			m.fatal("%d pings have no answer", c.pings)
		}
	default: // a frame for a stream that may be over
		if c.highest == 0 {
			return
		}
		old := uint32(m.next(int(c.highest))) | 1
		if c.streams[old] != nil {
			return
		}
		switch m.next(4) {
		case 0:
			m.fromClient(http2.FrameRSTStream, 0, old, number(8))
		case 1:
			m.fromClient(http2.FrameWindowUpdate, 0, old, number(100))
		case 2:
			m.fromClient(http2.FramePriority, 0, old, make([]byte, 5))
		case 3:
			if n := min(m.next(16<<10), int(c.upload)); old <= m.state.base || !m.state.live {
				c.upload -= int64(n)
				m.fromClient(http2.FrameData, 0, old, make([]byte, n))
			}
		}
	}
}

// request returns the header block of a request, some of which the client has sent before.
func (m *model) request() []byte {
	c := &m.client
	c.block.Reset()
	c.fields = nil
	for range 1 + m.next(8) {
		f := hpack.HeaderField{Name: fmt.Sprint("name-", m.next(4)), Value: strings.Repeat("x", 1+500*m.next(4))}
		c.fields = append(c.fields, f)
		_ = c.headers.WriteField(f) // to a buffer, which does not fail
	}
	return bytes.Clone(c.block.Bytes())
}

// quiet ends all that an inner server has to do, and lets it go.
func (m *model) quiet() {
	for id := m.pick(m.server.streams); id != 0; id = m.pick(m.server.streams) {
		delete(m.server.streams, id)
		if m.server.signals[id] != nil {
			m.fromServer(http2.FrameData, http2.FlagDataEndStream, id, nil)
			continue
		}
		m.fromServer(http2.FrameRSTStream, 0, id, make([]byte, 4))
	}
	if m.client.window < minWindow && m.next(4) > 0 {
		m.client.window += minWindow
		m.fromClient(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, minWindow))
	}
	m.settle()
	m.acknowledge()
	if m.state.isSpare() && !m.state.tableEmpty && !m.state.tableUnacked && m.next(4) > 0 {
		m.state.resizeTable(0)
		m.settle()
	}
	if m.next(4) > 0 {
		m.follow()
	}
	if m.state.mayRelease() {
		m.log = append(m.log, "release")
		m.state.release()
		if m.settle(); m.client.unacked != 0 {
			m.fatal("%d SETTINGS have no ACK", m.client.unacked)
		}
	}
}

func (m *model) serverStep() {
	s := &m.server
	if m.next(3) == 0 {
		m.acknowledge()
	}
	if m.next(20) == 0 {
		m.quiet()
		return
	}
	id := m.pick(s.streams)
	if id == 0 {
		return
	}
	st := s.streams[id]
	if st.done {
		return
	}
	data := func(p []byte, flags http2.Flags) {
		s.window -= int64(len(p))
		st.window -= int64(len(p))
		m.fromServer(http2.FrameData, flags, id, p)
	}
	room := int(max(min(s.window, st.window, 16<<10), 0))
	end := func() {
		if st.done = true; st.clientEnded {
			delete(s.streams, id)
		}
	}
	switch m.next(8) {
	case 0:
		m.fromServer(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, []byte("headers"))
	case 1:
		if s.signals[id] == nil {
			data(make([]byte, m.next(room+1)), 0)
		}
	case 2, 3:
		end()
		data(nil, http2.FlagDataEndStream)
	case 4:
		delete(s.streams, id)
		m.fromServer(http2.FrameRSTStream, 0, id, make([]byte, 4))
	case 5:
		if m.next(4) == 0 { // trailers
			end()
			m.fromServer(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, []byte("trailers"))
		}
	default:
		if s.signals[id] != nil || !m.state.mayHold() {
			return
		}
		one := newSignal()
		m.state.signals = append(m.state.signals, one)
		text := one.text[:]
		for len(text) > 0 && min(s.window, st.window) > 0 {
			n := int(min(int64(len(text)), s.window, st.window, int64(1+m.next(3)*20)))
			s.signals[id] = one
			data(text[:n], 0)
			text = text[n:]
		}
		m.state.forget(one)
		if one.stream == nil {
			delete(s.signals, id)
		}
	}
}

func (m *model) ownStep() {
	s := &m.state
	var held []*Stream
	for _, st := range s.streams {
		if st.held {
			held = append(held, st)
		}
	}
	switch m.next(4) {
	case 0:
		if len(held) > 0 && m.next(4) == 0 {
			m.log = append(m.log, "end")
			s.end(held[m.next(len(held))], m.next(2) == 0)
		}
	default:
		if len(held) > 0 {
			st := held[m.next(len(held))]
			n := s.take(st, m.next(100_000))
			m.log = append(m.log, fmt.Sprintf("held %d:%d", st.id, n))
			for n > 0 {
				piece := min(n, maxDataLen)
				m.atClient(header{uint32(piece), http2.FrameData, 0, st.id}, nil)
				n -= piece
			}
		}
	}
}
