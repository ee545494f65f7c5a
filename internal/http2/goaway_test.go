package http2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// A client that has not seen the GOAWAY yet may send more than HEADERS for a new stream. That does no harm to held ones.
func TestStreamAfterGoAway(t *testing.T) {
	for name, send := range map[string]func(x *client, id uint32) error{
		"DATA":          func(x *client, id uint32) error { return x.WriteData(id, true, []byte("hello")) },
		"WINDOW_UPDATE": func(x *client, id uint32) error { return x.WriteWindowUpdate(id, 1000) },
		"RST_STREAM":    func(x *client, id uint32) error { return x.WriteRSTStream(id, http2.ErrCodeCancel) },
		"trailers": func(x *client, id uint32) error {
			return x.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: x.block("GET", "/"), EndStream: true, EndHeaders: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample)
			id, f := x.hold(s, "a")
			s.Shutdown()
			x.ok(send(x, x.request("POST", "/post", false)))
			x.ping()
			if _, err := f.st.Write([]byte(":\n")); err != nil {
				t.Fatal(err)
			}
			x.expect(fmt.Sprintf("DATA %d %q", id, ":\n"))
			x.ok(x.WriteSettingsAck()) // one too many
			x.until(fmt.Sprintf("GOAWAY %d PROTOCOL_ERROR", id))
		})
	}
}

// A header block that nobody gets is bounded, though it has no end.
func TestBlockAfterGoAway(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	id, f := x.hold(s, "a")
	s.Shutdown()
	next := id + 2
	x.ok(x.WriteHeaders(http2.HeadersFrameParam{StreamID: next, BlockFragment: x.block("GET", "/")}))
	for range 10 * maxAllowance {
		if x.WriteContinuation(next, false, nil) != nil {
			break
		}
	}
	_ = x.WritePing(false, [8]byte{}) // which is wrong in a block, so that there is an answer in any case
	x.until(fmt.Sprintf("GOAWAY %d ENHANCE_YOUR_CALM", id))
	<-f.over
}

// during is a transport that does something in the middle of its next write.
type during struct {
	*plain
	do func()
}

func (d *during) Write(b []byte) (int, error) {
	if do := d.do; do != nil {
		d.do = nil
		do()
	}
	return d.plain.Write(b)
}

// The last held stream may end while another goroutine writes. Its END_STREAM comes before the connection's end.
func TestLastStreamEndsDuringWrite(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	id, f := x.hold(s, "a")
	s.Shutdown()
	x.until(fmt.Sprintf("GOAWAY %d NO_ERROR", id))
	c := x.c
	c.transport = &during{plain: x.p, do: func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.state.end(f.st.stream, false)
	}}
	x.ok(x.WritePing(false, [8]byte{'p'}))
	x.expect(`PING ack 'p'`)
	c.settle() // as End does
	x.expect(fmt.Sprintf("DATA %d %q end", id, ""), "EOF")
}

// A server closes a connection after its last answer, even if the client has not read all of it. The client gets the rest.
func TestCloseSendsWhatIsQueued(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample, http2.Setting{ID: http2.SettingInitialWindowSize, Val: ample})
	x.p.mu.Lock()
	x.p.limit = 1000
	x.p.mu.Unlock()
	id := x.request("GET", "/last", true)
	until(t, func() bool { x.c.mu.Lock(); defer x.c.mu.Unlock(); return x.c.closed })
	x.until(fmt.Sprintf("DATA %d \"\" end", id))
}
