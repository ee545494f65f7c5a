package http2

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// flooder is a client with a held stream, next to an honest one with a connection of its own.
type flooder struct {
	*client
	s      *site
	held   uint32
	feed   *feed
	honest *browser
	body   io.Reader // the honest client's stream
}

// flooder returns a client that has a held stream, and whose stream 1 is over. If it is not parked, its stream 5 waits for the rest of
// a request, which keeps an inner server.
func (s *site) flooder(t *testing.T, parked bool) *flooder {
	t.Helper()
	a := &flooder{s: s, honest: s.browser(t)}
	a.body = a.honest.events("honest")
	s.feed(t, "honest")
	a.client = s.frames(t, ample)
	a.request("POST", "/post", true)
	a.until(`DATA 1 "0 <nil>" end`)
	a.held, a.feed = a.hold(s, "flooder")
	if !parked {
		a.request("POST", "/post", false)
		a.ping()
	}
	return a
}

// flood sends the same until the connection is closed, and this often at most.
func (a *flooder) flood(most int, send func(a *flooder) error) {
	for range most {
		if send(a) != nil {
			return
		}
	}
}

// check checks that the honest client is served, and that the Conn keeps little for the other.
func (a *flooder) check(t *testing.T) {
	t.Helper()
	if _, err := a.s.feed(t, "honest").st.Write([]byte(":\n")); err != nil {
		t.Error(err)
	}
	expect(t, a.body, ":\n")
	if got := a.honest.do("POST", "/post", "hello"); got != "5 <nil>" {
		t.Errorf("the honest client got %q", got)
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	s := &a.c.state
	if kept := len(s.out) + len(s.toInner); kept > maxQueued {
		t.Errorf("the Conn keeps %d bytes", kept)
	}
	if len(a.p.out) > a.p.limit+2*maxQueued {
		t.Errorf("%d bytes are queued", len(a.p.out))
	}
}

// Floods that no inner server sees are bounded, whether there is one or not. Honest clients go on.
func TestFloods(t *testing.T) {
	for name, c := range map[string]struct {
		send       func(a *flooder) error
		parkedOnly bool // an inner server takes these
	}{
		"PING":          {func(a *flooder) error { return a.WritePing(false, [8]byte{}) }, true},
		"SETTINGS":      {func(a *flooder) error { return a.WriteSettings() }, true},
		"unknown":       {func(a *flooder) error { return a.WriteRawFrame(0xee, 0, 0, nil) }, true},
		"RST":           {func(a *flooder) error { return a.WriteRSTStream(1, 0) }, false},
		"WINDOW_UPDATE": {func(a *flooder) error { return a.WriteWindowUpdate(a.held, 1) }, false},
		"empty DATA":    {func(a *flooder) error { return a.WriteData(1, false, nil) }, false},
		"PRIORITY":      {func(a *flooder) error { return a.WritePriority(a.held, http2.PriorityParam{}) }, false},
	} {
		for _, parked := range []bool{true, false} {
			if c.parkedOnly && !parked {
				continue
			}
			t.Run(fmt.Sprintf("%s, parked %v", name, parked), func(t *testing.T) {
				a := newSite(t).flooder(t, parked)
				a.flood(10*maxAllowance, c.send)
				a.until(fmt.Sprintf("GOAWAY %d ENHANCE_YOUR_CALM", a.next-2))
				<-a.feed.over
				a.check(t)
			})
		}
	}
}

// An inner server bounds what a client makes it do. Until it does, the Conn keeps no more for the client than without a flood.
func TestFloodsOfInnerServer(t *testing.T) {
	const many = 5000
	goesOn := func(a *flooder) { a.ping() }
	for name, c := range map[string]struct {
		most int
		send func(a *flooder) error
		end  func(a *flooder) // what becomes of the client
	}{
		"PING": {3 * many, func(a *flooder) error { return a.WritePing(false, [8]byte{}) }, func(a *flooder) { <-a.feed.over }},
		"SETTINGS": {4 * many, func(a *flooder) error { return a.WriteSettings() }, func(a *flooder) {
			a.ok(a.WriteData(5, true, nil))
			a.until(`DATA 5 "0 <nil>" end`)
			a.parked()
			if queued := a.p.Queued(); queued > maxQueued {
				a.t.Errorf("%d bytes are queued", queued)
			}
			a.ping()
		}},
		"unknown":       {many, func(a *flooder) error { return a.WriteRawFrame(0xee, 0, 0, nil) }, goesOn},
		"empty DATA":    {many, func(a *flooder) error { return a.WriteData(5, false, nil) }, goesOn},
		"WINDOW_UPDATE": {many, func(a *flooder) error { return a.WriteWindowUpdate(5, 1) }, goesOn},
		"PRIORITY":      {many, func(a *flooder) error { return a.WritePriority(5, http2.PriorityParam{}) }, goesOn},
		"requests and RST": {many, func(a *flooder) error {
			return a.WriteRSTStream(a.request("POST", "/post", false), http2.ErrCodeCancel)
		}, nil},
		"empty CONTINUATION": {many, block(0), func(a *flooder) { a.ok(a.WriteContinuation(7, true, nil)); a.until(`DATA 7 "0 <nil>" end`) }},
		"CONTINUATION": {200, block(maxDataLen - 1), func(a *flooder) {
			a.until("GOAWAY 7 PROTOCOL_ERROR")
			<-a.feed.over
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSite(t).flooder(t, false)
			a.p.mu.Lock()
			a.p.limit = 1000
			a.p.mu.Unlock()
			a.flood(c.most, c.send)
			a.check(t)
			if c.end != nil {
				c.end(a)
			}
			until(t, func() bool { a.c.mu.Lock(); defer a.c.mu.Unlock(); return a.c.closed || len(a.c.state.streams) <= 2 })
		})
	}
}

// block returns what begins a request whose headers do not end, and then adds a header of this size each time.
func block(size int) func(a *flooder) error {
	return func(a *flooder) error {
		if a.next == 7 {
			a.next += 2
			return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: a.block("POST", "/post"), EndStream: true})
		}
		a.buf.Reset()
		if size > 0 {
			a.ok(a.enc.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", size)}))
		}
		return a.WriteContinuation(7, false, a.buf.Bytes())
	}
}
