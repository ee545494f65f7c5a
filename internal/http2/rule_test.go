package http2

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

const ample = 15 << 20

var line = strings.Repeat("x", 16000)

// Frames for streams that an inner server does not know neither reach it nor do harm.
func TestLateFrames(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	post := x.request("POST", "/post", true)
	x.until(fmt.Sprintf("DATA %d %q end", post, "0 <nil>"))
	_, f := x.hold(s, "a")
	late := func() {
		x.ok(x.WriteRSTStream(post, http2.ErrCodeCancel))
		x.ok(x.WriteWindowUpdate(post, 1000))
		x.ok(x.WriteData(post, false, make([]byte, 10_000)))
		x.ok(x.WriteData(post, true, make([]byte, 10_000)))
		x.ok(x.WritePriority(post, http2.PriorityParam{Weight: 1}))
		x.ok(x.WriteRawFrame(http2.FramePriorityUpdate, 0, 0, append([]byte{0, 0, 0, byte(post)}, "u=1"...)))
		x.ok(x.WriteRawFrame(0xee, 0, 0, []byte("unknown")))
		x.ok(x.WritePing(true, [8]byte{}))
		x.ping()
	}
	late()
	if s.fresh != 1 {
		t.Errorf("%d inner servers", s.fresh)
	}
	slow := x.request("POST", "/post", false) // keeps the inner server
	late()
	x.ok(x.WriteData(slow, true, []byte("body")))
	x.until(fmt.Sprintf("DATA %d %q end", slow, "4 <nil>"))
	x.parked()
	if _, err := f.st.Write([]byte(":\n")); err != nil {
		t.Error(err)
	}
	x.expect(`DATA 3 ":\n"`)
	x.ok(x.WriteHeaders(http2.HeadersFrameParam{StreamID: post, BlockFragment: x.block("GET", "/"), EndStream: true, EndHeaders: true}))
	x.expect("GOAWAY 5 PROTOCOL_ERROR")
	<-f.over
}

// SETTINGS are acknowledged once each, with an inner server and without, and fresh ones know them.
func TestSettings(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 40})
	id, f := x.hold(s, "a")
	<-f.room // of the start
	if n, err := f.st.Write([]byte(line[:43])); n != 40 {
		t.Errorf("%d bytes, %v", n, err)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, line[:40]))
	x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 65_536}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 43}))
	x.expect("SETTINGS ack")
	<-f.room
	if n, err := f.st.Write([]byte(line[:3])); n != 3 {
		t.Errorf("%d bytes, %v", n, err)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, line[:3]))
	x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	x.expect("SETTINGS ack")
	if n, _ := f.st.Write([]byte("d")); n != 0 {
		t.Error("the window is negative")
	}
	for range 2 {
		x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}))
		x.expect("SETTINGS ack")
	}
	get := x.request("GET", "/file?20", true)
	x.expect(fmt.Sprintf("HEADERS %d", get)) // whose table sizes the decoder checks
	x.ok(x.WriteWindowUpdate(get, 20))
	x.expect(fmt.Sprintf("DATA %d %q end", get, file[:20]))
	x.parked()
	x.ok(x.WriteWindowUpdate(id, 50))
	<-f.room
	if n, _ := f.st.Write([]byte(line[:10])); n != 7 {
		t.Errorf("%d bytes, not 50-43", n)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, line[:7]))
	x.ok(x.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}))
	x.expect("SETTINGS ack")
	x.ok(x.WriteWindowUpdate(id, 1<<31-1))
	x.expect(fmt.Sprintf("RST %d FLOW_CONTROL_ERROR", id))
	<-f.over
}

// While no inner server is there, what it would refuse is refused.
func TestErrorsWhileParked(t *testing.T) {
	for name, c := range map[string]struct {
		send func(x *client) error
		want http2.ErrCode
	}{
		"a WINDOW_UPDATE of 0":       {func(x *client) error { x.AllowIllegalWrites = true; return x.WriteWindowUpdate(0, 0) }, http2.ErrCodeProtocol},
		"a window that is too large": {func(x *client) error { return x.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl},
		"a window of an idle stream": {func(x *client) error { return x.WriteWindowUpdate(99, 1) }, http2.ErrCodeProtocol},
		"a reset of an idle stream":  {func(x *client) error { return x.WriteRSTStream(99, 0) }, http2.ErrCodeProtocol},
		"data of an idle stream":     {func(x *client) error { return x.WriteData(99, true, nil) }, http2.ErrCodeProtocol},
		"data of no stream":          {func(x *client) error { return x.WriteRawFrame(http2.FrameData, 0, 0, nil) }, http2.ErrCodeProtocol},
		"an ACK too many":            {func(x *client) error { return x.WriteSettingsAck() }, http2.ErrCodeProtocol},
		"a setting that is invalid": {func(x *client) error {
			return x.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}, http2.ErrCodeFlowControl},
		"a push":                {func(x *client) error { return x.WriteRawFrame(http2.FramePushPromise, 4, 1, make([]byte, 4)) }, http2.ErrCodeProtocol},
		"a CONTINUATION":        {func(x *client) error { return x.WriteContinuation(1, true, nil) }, http2.ErrCodeProtocol},
		"a PING of 7 bytes":     {func(x *client) error { return x.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, http2.ErrCodeFrameSize},
		"a reset of 5 bytes":    {func(x *client) error { return x.WriteRawFrame(http2.FrameRSTStream, 0, 1, make([]byte, 5)) }, http2.ErrCodeFrameSize},
		"SETTINGS of 7 bytes":   {func(x *client) error { return x.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 7)) }, http2.ErrCodeFrameSize},
		"SETTINGS of a stream":  {func(x *client) error { return x.WriteRawFrame(http2.FrameSettings, 0, 1, nil) }, http2.ErrCodeProtocol},
		"101 settings":          {func(x *client) error { return x.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 606)) }, http2.ErrCodeProtocol},
		"a stream that is even": {func(x *client) error { x.next = 4; x.request("GET", "/", true); return nil }, http2.ErrCodeProtocol},
		"a GOAWAY of a stream":  {func(x *client) error { return x.WriteRawFrame(http2.FrameGoAway, 0, 1, make([]byte, 8)) }, http2.ErrCodeProtocol},
		"a GOAWAY of 7 bytes":   {func(x *client) error { return x.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 7)) }, http2.ErrCodeFrameSize},
		"a priority of nothing": {func(x *client) error { return x.WriteRawFrame(http2.FramePriorityUpdate, 0, 0, make([]byte, 5)) }, http2.ErrCodeProtocol},
		"a priority of 3 bytes": {func(x *client) error { return x.WriteRawFrame(http2.FramePriorityUpdate, 0, 0, make([]byte, 3)) }, http2.ErrCodeFrameSize},
		"a priority elsewhere":  {func(x *client) error { return x.WriteRawFrame(http2.FramePriorityUpdate, 0, 1, make([]byte, 5)) }, http2.ErrCodeProtocol},
		"a frame that is too large": {func(x *client) error {
			_, err := x.far.Write(header{1<<24 - 1, 0xee, 0, 0}.append(nil))
			return err
		}, http2.ErrCodeFrameSize},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample)
			id, f := x.hold(s, "a")
			x.ok(c.send(x))
			x.expect(fmt.Sprintf("GOAWAY %d %v", id, c.want), "EOF")
			<-f.over
		})
	}
}

// Misuse of a held stream ends that stream only.
func TestHeldStreamErrors(t *testing.T) {
	for name, c := range map[string]struct {
		send func(x *client, id uint32) error
		want string
	}{
		"its client leaves":      {func(x *client, id uint32) error { return x.WriteRSTStream(id, http2.ErrCodeCancel) }, ""},
		"a WINDOW_UPDATE of 0":   {func(x *client, id uint32) error { x.AllowIllegalWrites = true; return x.WriteWindowUpdate(id, 0) }, "RST 1 PROTOCOL_ERROR"},
		"a window too large":     {func(x *client, id uint32) error { return x.WriteWindowUpdate(id, 1<<31-1) }, "RST 1 FLOW_CONTROL_ERROR"},
		"data after the request": {func(x *client, id uint32) error { return x.WriteData(id, false, []byte("x")) }, "RST 1 STREAM_CLOSED"},
	} {
		for _, parked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, parked %v", name, parked), func(t *testing.T) {
				s := newSite(t)
				x := s.frames(t, ample)
				id, f := x.hold(s, "a")
				if !parked {
					x.request("POST", "/post", false)
				}
				x.ok(c.send(x, id))
				if c.want != "" {
					x.expect(c.want)
				}
				if <-f.over; (f.reason == errLeft) != (c.want == "") {
					t.Errorf("over, as %v", f.reason)
				}
				x.ping()
			})
		}
	}
}

// The signal gets through whatever the client's window is.
func TestSignalInPieces(t *testing.T) {
	for _, window := range []uint32{0, 1, 15, signalLen - 1} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
			id := x.request("GET", "/events?a", true)
			x.expect(fmt.Sprintf("HEADERS %d", id))
			got := ""
			for len(got) < signalLen {
				if window == 0 || got != "" {
					x.ok(x.WriteWindowUpdate(id, 10))
				}
				frame, err := x.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if data, ok := frame.(*http2.DataFrame); ok {
					got += string(data.Data())
				} else if x.say(frame) == "SETTINGS table 0" {
					break // all at once
				}
			}
			f := s.feed(t, "a")
			if f.st == nil {
				t.Fatal("the stream is not held")
			}
			if got != "" && (got[0] != ':' || got[len(got)-1] != '\n') {
				t.Errorf("the client got %q", got)
			}
			x.ok(x.WriteWindowUpdate(id, 100))
			x.ping()
			if _, err := f.st.Write([]byte("data: 1\n\n")); err != nil {
				t.Fatal(err)
			}
			x.until(fmt.Sprintf("DATA %d %q", id, "data: 1\n\n"))
		})
	}
}

// What cannot be held is served by its handler, as without a Conn.
func TestNotHeld(t *testing.T) {
	for name, open := range map[string]func(s *site, t *testing.T) *client{
		"a small window":        func(s *site, t *testing.T) *client { return s.frames(t, minWindow/2) },
		"an unfinished request": func(s *site, t *testing.T) *client { return s.frames(t, ample) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := open(s, t)
			id := x.request("GET", "/events?a", name == "a small window")
			x.expect(fmt.Sprintf("HEADERS %d", id))
			if f := s.feed(t, "a"); f.st != nil {
				t.Error("the stream is held")
			}
			x.ping()
		})
	}
}

// A download that uses up the client's window leaves room for held streams, PINGs and uploads.
func TestReserve(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, minWindow, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	id, f := x.hold(s, "a")
	get := x.request("GET", "/file?8000000", true)
	x.expect(fmt.Sprintf("HEADERS %d", get))
	total := 0
	for total < minWindow+initialWindow-reserve {
		f, err := x.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		total += int(f.Header().Length)
	}
	post := x.request("POST", "/post", false)
	x.ok(x.WriteData(post, true, make([]byte, 16000)))
	x.ping()
	for range reserve/len(line) - 1 {
		if n, err := f.st.Write([]byte(line)); n != len(line) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		x.until(fmt.Sprintf("DATA %d %q", id, line))
	}
	if n, _ := f.st.Write([]byte(line + line)); n >= len(line)+len(line) {
		t.Error("more was sent than the client allows")
	}
	x.ok(x.WriteWindowUpdate(0, 8<<20))
	x.until(fmt.Sprintf("DATA %d %q end", post, "16000 <nil>"))
}

// A fresh inner server begins with a window of 65,535 bytes. So none is let go while the client allows less than that and the reserve.
func TestSmallRestOfWindow(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, minWindow, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	x.hold(s, "a")
	const size = minWindow - reserve + 1000
	x.request("GET", fmt.Sprintf("/file?%d", size), true)
	for total := 0; total < size; {
		f, err := x.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.DataFrame); ok {
			total += int(f.Length)
		}
	}
	x.ping()
	x.c.mu.Lock()
	let := x.c.inner == nil || x.c.state.mayRelease()
	x.c.mu.Unlock()
	if let {
		t.Error("the inner server may be let go")
	}
	x.ok(x.WriteWindowUpdate(0, size))
	x.parked()
}

// At the end, clients are told to open no more streams. Those that are held go on until they end.
func TestShutdown(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	id, f := x.hold(s, "a")
	s.Shutdown()
	x.expect(fmt.Sprintf("GOAWAY %d NO_ERROR", id))
	x.request("GET", "/file?1", true)
	x.ping()
	if _, err := f.st.Write([]byte(":\n")); err != nil {
		t.Error(err)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, ":\n"))
	f.st.End(nil)
	x.expect(fmt.Sprintf("DATA %d %q end", id, ""), "EOF")
	if s.fresh != 1 {
		t.Errorf("%d inner servers", s.fresh)
	}
}

// If the inner server was let go before it said so, the client is told all the same.
func TestShutdownOfInnerServer(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	x.hold(s, "a")
	post := x.request("POST", "/post", false)
	x.ping()
	s.Shutdown()
	x.ping()
	x.ok(x.WriteData(post, true, nil))
	x.until(fmt.Sprintf("DATA %d %q end", post, "0 <nil>"))
	x.until(fmt.Sprintf("GOAWAY %d NO_ERROR", post))
}

// An inner server that goes away leaves the held streams. Its GOAWAY names the older ones as well.
func TestInnerServerGoesAway(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	id, f := x.hold(s, "a")
	x.ok(x.WriteGoAway(0, http2.ErrCodeNo, nil))
	x.expect(fmt.Sprintf("GOAWAY %d NO_ERROR", id))
	_ = f

	x = s.frames(t, ample)
	id, f = x.hold(s, "b")
	next := x.request("POST", "/post", false)
	x.ping()
	x.ok(x.WriteGoAway(0, http2.ErrCodeNo, nil)) // to which the inner server answers with its own
	x.expect(fmt.Sprintf("GOAWAY %d NO_ERROR", next))
	x.ok(x.WriteData(next, true, nil))
	x.until(fmt.Sprintf("DATA %d %q end", next, "0 <nil>"))
	x.parked()
	if _, err := f.st.Write([]byte(":\n")); err != nil {
		t.Error(err)
	}
	x.expect(fmt.Sprintf("DATA %d %q", id, ":\n"))
	x.ping()
	f.st.End(nil)
	x.expect(fmt.Sprintf("DATA %d %q end", id, ""), "EOF")
}

// A connection whose last held stream has ended gets an inner server, which has the idle timeout. It knows none of the old streams.
func TestRest(t *testing.T) {
	for _, idle := range []time.Duration{50 * time.Millisecond, 0} {
		s := newSite(t)
		s.idleAfter(idle)
		x := s.frames(t, ample)
		id, f := x.hold(s, "a")
		f.st.End(nil)
		x.expect(fmt.Sprintf("DATA %d %q end", id, ""))
		x.c.mu.Lock()
		timer := x.c.timer
		x.c.mu.Unlock()
		if timer == nil {
			t.Fatal("nothing is planned")
		}
		timer.Reset(0)
		if idle > 0 {
			x.until(fmt.Sprintf("GOAWAY %d NO_ERROR", id))
			x.until("EOF")
			continue
		}
		until(t, func() bool { x.c.mu.Lock(); defer x.c.mu.Unlock(); return x.c.inner != nil })
		x.ok(x.WriteRSTStream(id, http2.ErrCodeCancel))
		x.ok(x.WriteWindowUpdate(id, 1))
		x.ping()
	}
}
