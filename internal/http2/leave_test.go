package http2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// A client that closes its end of a parked connection has left, wherever it has stopped: it could tell us nothing more about what it
// takes. Its streams end, and nothing is left of it.
func TestHalfClose(t *testing.T) {
	ping := header{8, http2.FramePing, 0, 0}.append(nil)
	for name, send := range map[string]func(x *client) error{
		"after a frame": func(x *client) error { return nil },
		"in a header":   func(x *client) error { _, err := x.far.Write(ping[:5]); return err },
		"in a payload":  func(x *client) error { _, err := x.far.Write(append(ping, 1, 2, 3)); return err },
		"in dropped DATA": func(x *client) error {
			_, err := x.far.Write(header{100, http2.FrameData, 0, 1}.append(nil))
			return err
		},
		"after a request":  func(x *client) error { x.request("GET", "/file?5", true); return nil },
		"during a request": func(x *client) error { return x.WriteData(x.request("POST", "/post", false), false, []byte("x")) },
		"in a header block": func(x *client) error {
			return x.WriteHeaders(http2.HeadersFrameParam{StreamID: x.next, BlockFragment: x.block("GET", "/")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample)
			x.request("POST", "/post", true)
			x.until(`DATA 1 "0 <nil>" end`)
			_, f := x.hold(s, "a")
			x.ok(send(x))
			_ = x.far.Close()
			if <-f.over; f.reason.Error() != "the client left" { // as the log says
				t.Errorf("over, as %v", f.reason)
			}
			if _, err := f.st.Write([]byte(":\n")); err == nil {
				t.Error("the stream can be written to")
			}
			x.until("EOF")
			until(t, func() bool { s.Server.mu.Lock(); defer s.Server.mu.Unlock(); return len(s.Server.conns) == 0 })
		})
	}
}

// A client that never updates its connection's window gets as much of its stream as that allows, but for what a new inner server takes
// for granted. The stream's end comes in any case, and the connection goes on.
func TestWindowIsNeverUpdated(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, minWindow, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	id, f := x.hold(s, "a")
	room := int(x.window) - initialWindow
	for total := 0; ; {
		n, err := f.st.Write([]byte(line))
		for got := 0; got < n; {
			frame, err := x.ReadFrame()
			x.ok(err)
			data, ok := frame.(*http2.DataFrame)
			if !ok || data.StreamID != id || string(data.Data()) != line[got:got+int(data.Length)] {
				t.Fatalf("got %v", frame)
			}
			x.got(header{data.Length, http2.FrameData, 0, id}, nil)
			got += int(data.Length)
		}
		total += n
		if n < len(line) {
			if total != room || err == nil {
				t.Errorf("the client got %d bytes, not %d; %v", total, room, err)
			}
			break
		}
	}
	x.ping()
	get := x.request("GET", "/file?5", true)
	x.until(fmt.Sprintf("DATA %d %q end", get, file[:5]))
	f.st.End(nil)
	x.until(fmt.Sprintf("DATA %d %q end", id, ""))
	post := x.request("POST", "/post", false)
	x.ok(x.WriteData(post, true, []byte("hello")))
	x.until(fmt.Sprintf("DATA %d %q end", post, "5 <nil>"))
	if err := x.checkWindows(); err != nil {
		t.Error(err)
	}
}

// A request that is under way and sends nothing takes no room from held streams: they can use up so much of the connection's window that a
// client that updates it late does so.
func TestWindowBesideQuietRequest(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	id := x.request("GET", "/events?a", true)
	x.request("POST", "/post", false) // on the same inner server
	x.until(fmt.Sprintf("HEADERS %d", id))
	f := s.feed(t, "a")
	<-f.room
	for total, since := 0, 0; total < 2*ample; {
		n, err := f.st.Write([]byte(line))
		if n < len(line) {
			t.Fatalf("no room after %d bytes, of which the client has told of all but %d; %v", total, since, err)
		}
		x.until(fmt.Sprintf("DATA %d %q", id, line))
		if total, since = total+n, since+n; since > ample/2 {
			x.ok(x.WriteWindowUpdate(0, uint32(since)))
			x.ping()
			since = 0
		}
	}
}

// A client that says nothing during a download gets as much of it as its window allows: the inner server learns of its share though there
// is no frame to read.
func TestDownloadToSilentClient(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	get := x.request("GET", "/file?8000000", true)
	ping := append(header{8, http2.FramePing, 0, 0}.append(nil), "p1234567"...)
	_, err := x.far.Write(ping[:headerLen+3]) // the rest comes later
	x.ok(err)
	for total := 0; total < 8_000_000; {
		frame, err := x.ReadFrame()
		x.ok(err)
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamID == get {
			if end := total + len(data.Data()); string(data.Data()) == string(file[total:end]) {
				total = end
				continue
			}
			t.Fatalf("other bytes after %d", total)
		}
	}
	_, err = x.far.Write(ping[headerLen+3:])
	x.ok(err)
	x.until(`PING ack 'p'`)
}
