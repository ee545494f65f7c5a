package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// client is a client that sends frames one by one.
type client struct {
	*http2.Framer
	far
	t    testing.TB
	c    *Conn
	enc  *hpack.Encoder
	buf  bytes.Buffer
	dec  *hpack.Decoder
	next uint32

	window, upload int64 // of the connection: what the server may send, and the client
}

// frames returns a client that has said hello, and that grants this much more than the initial window.
func (s *site) frames(t testing.TB, window uint32, settings ...http2.Setting) *client {
	t.Helper()
	c, end := s.dial()
	x := newClient(t, c, end)
	x.hello(window, settings...)
	return x
}

func newClient(t testing.TB, c *Conn, end far) *client {
	x := &client{far: end, t: t, c: c, next: 1, dec: hpack.NewDecoder(65536, nil), window: initialWindow, upload: initialWindow}
	x.Framer = http2.NewFramer(sent{x}, end)
	x.enc = hpack.NewEncoder(&x.buf)
	return x
}

// sent takes what the Framer writes, which is a frame at a time.
type sent struct{ x *client }

func (s sent) Write(b []byte) (int, error) {
	switch h := parseHeader(b); {
	case h.kind == http2.FrameData:
		s.x.upload -= int64(h.length)
	case h.kind == http2.FrameWindowUpdate && h.id == 0 && h.length == 4:
		s.x.window += int64(binary.BigEndian.Uint32(b[headerLen:]) & maxWindow)
	}
	return s.x.far.Write(b)
}

// got notes what a frame from the server does to the windows.
func (x *client) got(h header, p []byte) {
	switch {
	case h.kind == http2.FrameData:
		x.window -= int64(h.length)
	case h.kind == http2.FrameWindowUpdate && h.id == 0:
		x.upload += int64(binary.BigEndian.Uint32(p))
	}
}

// hello says hello, and grants this much more than the initial window.
func (x *client) hello(window uint32, settings ...http2.Setting) {
	x.t.Helper()
	if _, err := io.WriteString(x.far, http2.ClientPreface); err != nil {
		x.t.Fatal(err)
	}
	x.ok(x.WriteSettings(settings...))
	if window > 0 {
		x.ok(x.WriteWindowUpdate(0, window))
	}
	x.until("SETTINGS")
	x.ok(x.WriteSettingsAck())
	x.until("SETTINGS ack")
}

func (x *client) ok(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// request opens a stream, and returns its id.
func (x *client) request(method, path string, end bool) uint32 {
	x.t.Helper()
	id := x.next
	x.next += 2
	x.ok(x.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: x.block(method, path), EndStream: end, EndHeaders: true}))
	return id
}

// block returns the header block of a request.
func (x *client) block(method, path string) []byte {
	x.buf.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "site"}, {":path", path}, {"x-long", "a header that goes into tables"}} {
		x.ok(x.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	return bytes.Clone(x.buf.Bytes())
}

// say returns what a frame is, in words.
func (x *client) say(f http2.Frame) string {
	h := f.Header()
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return "SETTINGS ack"
		}
		if v, ok := f.Value(http2.SettingHeaderTableSize); ok && f.NumSettings() == 1 {
			return fmt.Sprintf("SETTINGS table %d", v)
		}
		return "SETTINGS"
	case *http2.PingFrame:
		if f.IsAck() {
			return fmt.Sprintf("PING ack %q", f.Data[0])
		}
		return "PING"
	case *http2.HeadersFrame:
		fields, err := x.dec.DecodeFull(f.HeaderBlockFragment())
		if err != nil {
			x.t.Fatalf("decoding headers: %v", err)
		}
		name := "HEADERS"
		if len(fields) == 0 || fields[0].Name != ":status" {
			name = "TRAILERS"
		}
		return fmt.Sprintf("%s %d%s", name, h.StreamID, end(f.StreamEnded()))
	case *http2.DataFrame:
		return fmt.Sprintf("DATA %d %q%s", h.StreamID, f.Data(), end(f.StreamEnded()))
	case *http2.RSTStreamFrame:
		return fmt.Sprintf("RST %d %v", h.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %v", f.LastStreamID, f.ErrCode)
	case *http2.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d", h.StreamID)
	}
	return h.Type.String()
}

func end(ended bool) string {
	if ended {
		return " end"
	}
	return ""
}

// read returns the next frame in words, but for WINDOW_UPDATEs, or how the connection has ended.
func (x *client) read() string {
	x.t.Helper()
	for {
		f, err := x.ReadFrame()
		if err != nil {
			return err.Error()
		}
		h := f.Header()
		u, ok := f.(*http2.WindowUpdateFrame)
		if !ok {
			x.got(header{h.Length, h.Type, h.Flags, h.StreamID}, nil)
			return x.say(f)
		}
		x.got(header{h.Length, h.Type, h.Flags, h.StreamID}, binary.BigEndian.AppendUint32(nil, u.Increment))
	}
}

// expect reads these frames.
func (x *client) expect(frames ...string) {
	x.t.Helper()
	for i, want := range frames {
		if got := x.read(); got != want {
			x.t.Fatalf("frame %d is %s, not %s", i, got, want)
		}
	}
}

// until reads frames up to this one.
func (x *client) until(want string) {
	x.t.Helper()
	var seen []string
	for range 50_000 {
		got := x.read()
		if got == want {
			return
		}
		if seen = append(seen, got); got == "EOF" {
			break
		}
	}
	x.t.Fatalf("%s does not come, but %q", want, seen[max(len(seen)-50, 0):])
}

// hold opens a stream that is held, and returns its id and its feed, when the inner server was let go.
func (x *client) hold(s *site, name string) (uint32, *feed) {
	x.t.Helper()
	first := !x.c.told()
	id := x.request("GET", "/events?"+name, true)
	x.until(fmt.Sprintf("HEADERS %d", id))
	if first {
		x.until("SETTINGS table 0")
		x.enc.SetMaxDynamicTableSizeLimit(0)
		x.ok(x.WriteSettingsAck())
	}
	x.parked()
	return id, s.feed(x.t, name)
}

// told reports whether the client was told to empty its table.
func (c *Conn) told() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.tableSince > 0
}

// parked waits until the inner server was let go.
func (x *client) parked() {
	x.t.Helper()
	until(x.t, func() bool {
		x.c.mu.Lock()
		defer x.c.mu.Unlock()
		return x.c.inner == nil && x.c.reader == nil
	})
}

// ping checks that the connection is alive.
func (x *client) ping() {
	x.t.Helper()
	x.ok(x.WritePing(false, [8]byte{'p'}))
	x.until(`PING ack 'p'`)
}
