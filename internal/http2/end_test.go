package http2

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"testing"

	"golang.org/x/net/http2"
)

// A handler that does more than to return ends the stream, and its client knows.
func TestHandlerEndsHeldStream(t *testing.T) {
	for name, want := range map[string]string{"panic": "RST 1 INTERNAL_ERROR", "trailers": "TRAILERS 1 end"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample)
			x.request("GET", "/events?"+name, true)
			x.until(want)
			if f := s.feed(t, name); f.st == nil {
				t.Error("the stream was not held")
			} else {
				<-f.over
			}
			x.ping()
		})
	}
}

// A client may leave its stream at any moment around the hold. Its connection goes on.
func TestResetAroundHold(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	left := func(id uint32, name string) {
		x.ok(x.WriteRSTStream(id, http2.ErrCodeCancel))
		if f := s.feed(t, name); f.st != nil {
			<-f.over
		}
	}
	_, first := x.hold(s, "first")
	for i := range 100 {
		name := fmt.Sprint("stream-", i)
		id := x.request("GET", "/events?"+name, true)
		if i%3 > 0 {
			x.until(fmt.Sprintf("HEADERS %d", id))
		}
		if i%2 > 0 {
			x.ping()
		}
		if i%3 > 1 { // before there are as many requests as make a client busy
			x.parked()
		}
		left(id, name)
	}
	// The signal cannot be sent.
	x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	id := x.request("GET", "/events?waits", true)
	x.until(fmt.Sprintf("HEADERS %d", id))
	until(t, func() bool { x.c.mu.Lock(); defer x.c.mu.Unlock(); return len(x.c.state.signals) > 0 })
	left(id, "waits")
	x.parked()
	if x.c.state.held != 1 || len(x.c.state.signals) > 0 || len(x.c.state.streams) != 1 {
		t.Errorf("%d streams held, %d signals, %d streams", x.c.state.held, len(x.c.state.signals), len(x.c.state.streams))
	}
	x.ok(x.WriteWindowUpdate(1, 100))
	x.ping()
	if _, err := first.st.Write([]byte(":\n")); err != nil {
		t.Fatal(err)
	}
	x.until(`DATA 1 ":\n"`)
}

// A site's header Connection: close ends the connection only after its streams.
func TestConnectionClose(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	x.request("GET", "/events?close", true)
	x.until("GOAWAY 1 NO_ERROR")
	f := s.feed(t, "close")
	x.ok(x.WriteSettingsAck())
	x.parked()
	if _, err := f.st.Write([]byte(":\n")); err != nil {
		t.Fatal(err)
	}
	x.until(`DATA 1 ":\n"`)
	f.st.End(nil)
	x.until(`DATA 1 "" end`)
	x.until("EOF")
}

// A client may send a byte at a time.
func TestByteByByte(t *testing.T) {
	s := newSite(t)
	p := newPlain()
	p.slow = true
	s.Serve(p)
	s.Server.mu.Lock()
	var c *Conn
	for c = range s.Server.conns {
	}
	s.Server.mu.Unlock()
	x := newClient(t, c, far{p})
	x.hello(ample, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	id, f := x.hold(s, "a")
	for range 3 {
		x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
		x.until("SETTINGS ack")
		post := x.request("POST", "/post", false)
		x.ok(x.WriteData(post, true, []byte("0123456789")))
		x.until(fmt.Sprintf("DATA %d %q end", post, "10 <nil>"))
		x.parked()
	}
	if _, err := f.st.Write([]byte(":\n")); err != nil {
		t.Fatal(err)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, ":\n"))
}

// However an inner server cuts its frames into writes, the same goes on.
func TestOutputInPieces(t *testing.T) {
	all := appendSettings(nil, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 7}) // dropped, as the inner server is not the first
	all = appendSettingsAck(all)                                                             // dropped, as it is the replay's
	all = appendWindowUpdate(all, 0, uploadWindow-initialWindow)                             // replaced
	all = append(header{3, http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1}.append(all), "abc"...)
	all = append(header{5, http2.FrameData, 0, 1}.append(all), "hello"...)
	all = header{8, http2.FramePing, http2.FlagPingAck, 0}.append(all)
	all = append(all, make([]byte, 8)...)
	all = appendReset(all, 1, 0)
	all = append(appendGoAway(all, 0, 0), "bye"...)
	all[len(all)-len("bye")-headerLen-8+2] += 3
	var want []byte
	for size := len(all); size > 0; size-- {
		s := newState()
		s.firstUnacked, s.highest, s.windows.fromClient = false, 41, 1000
		s.release()
		s.wake()
		var o output
		var got []byte
		for piece := range slices.Chunk(all, size) {
			var p parts
			o.split(&s, piece, &p)
			for _, b := range append(slices.Clone(p.list[:p.n]), p.extra...) {
				got = append(got, b...)
			}
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || !o.between() {
			t.Fatalf("in pieces of %d bytes: % x, not % x", size, got, want)
		}
	}
	update := appendWindowUpdate(nil, 0, uploadWindow-1000)
	if !bytes.HasPrefix(want, update) || !bytes.HasSuffix(want, append(binaryGoAway(41), "bye"...)) {
		t.Errorf("% x", want)
	}
}

// A client that does not speak HTTP/2 gets no answer.
func TestNoPreface(t *testing.T) {
	s := newSite(t)
	c, end := s.dial()
	if _, err := io.WriteString(end, "GET / HTTP/1.1\r\nHost: site\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(end)
	if err != nil || bytes.Contains(got, []byte("HTTP/1")) {
		t.Errorf("got %q, %v", got, err)
	}
	until(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.closed })
}

// binaryGoAway returns a GOAWAY with three bytes to follow.
func binaryGoAway(last uint32) []byte {
	b := appendGoAway(nil, last, 0)
	b[2] += 3
	return b
}

// A fresh inner server is told what the client has said, and not to push.
func TestReplay(t *testing.T) {
	table := func(v uint32) http2.Setting { return http2.Setting{ID: http2.SettingHeaderTableSize, Val: v} }
	noPush := http2.Setting{ID: http2.SettingEnablePush, Val: 0}
	frame := http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20_000}
	for _, c := range []struct {
		said, first, second []http2.Setting
	}{
		{nil, []http2.Setting{noPush}, nil},
		{[]http2.Setting{{ID: http2.SettingEnablePush, Val: 1}, {ID: 99, Val: 1}, frame}, []http2.Setting{noPush, frame}, nil},
		{[]http2.Setting{table(0), table(65_536), table(4096)}, []http2.Setting{noPush, table(0)}, []http2.Setting{table(4096)}},
		{[]http2.Setting{table(9000), table(5000)}, []http2.Setting{noPush, table(5000)}, nil},
	} {
		var s settings
		for _, one := range c.said {
			if code := s.merge(appendSettings(nil, one)[headerLen:]); code != 0 {
				t.Fatal(code)
			}
		}
		first, second := s.replay()
		if !bytes.Equal(first, appendSettings(nil, c.first...)) || (len(second) > 0) != (len(c.second) > 0) ||
			len(second) > 0 && !bytes.Equal(second, appendSettings(nil, c.second...)) {
			t.Errorf("%v: % x, % x", c.said, first, second)
		}
	}
}

// HTTP/2 is not spoken with versions and ciphers that RFC 9113 prohibits.
func TestPermitted(t *testing.T) {
	for _, c := range []struct {
		version, cipher uint16
		want            bool
	}{
		{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, false},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, false},
		{tls.VersionTLS11, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, false},
	} {
		if got := permitted(tls.ConnectionState{Version: c.version, CipherSuite: c.cipher}); got != c.want {
			t.Errorf("%s, %s: %v", tls.VersionName(c.version), tls.CipherSuiteName(c.cipher), got)
		}
	}
}
