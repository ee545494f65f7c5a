package sitetest_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// follower is a client with one stream on an HTTP/2 connection of its own.
type follower struct {
	conn *tls.Conn
	gone chan struct{} // closed when the server has closed the connection

	mu    sync.Mutex // guards what follows
	text  bytes.Buffer
	ended bool // the stream has ended
}

func (f *follower) read(framer *http2.Framer) {
	for {
		frame, err := framer.ReadFrame()
		f.mu.Lock()
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = framer.WritePing(true, frame.Data)
			}
		case *http2.DataFrame:
			f.text.Write(frame.Data())
			f.ended = f.ended || frame.StreamEnded()
		}
		f.mu.Unlock()
		if err != nil {
			close(f.gone)
			return
		}
	}
}

func (f *follower) has(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(f.text.String(), text)
}

func (f *follower) hasEnded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// follow opens many streams, some at a time, and returns when all have begun.
func follow(t *testing.T, s *sitetest.Site, n int) []*follower {
	t.Helper()
	all := make([]*follower, n)
	var opening sync.WaitGroup
	for part := range 10 {
		opening.Go(func() {
			for i := part; i < n; i += 10 {
				conn, err := tls.Dial("tcp", s.Addr, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"h2"}})
				if err != nil {
					t.Error(err)
					return
				}
				var fields bytes.Buffer
				encoder := hpack.NewEncoder(&fields)
				for _, field := range [][2]string{
					{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/events?topic=room"},
					{"accept", "text/event-stream"},
				} {
					_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
				}
				var hello bytes.Buffer
				hello.WriteString(http2.ClientPreface)
				framer := http2.NewFramer(&hello, nil)
				_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 6 << 20})
				_ = framer.WriteWindowUpdate(0, 15<<20)
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields.Bytes(), EndStream: true, EndHeaders: true})
				if _, err := conn.Write(hello.Bytes()); err != nil {
					t.Error(err)
					return
				}
				all[i] = &follower{conn: conn, gone: make(chan struct{})}
				go all[i].read(http2.NewFramer(conn, conn))
			}
		})
	}
	opening.Wait()
	t.Cleanup(func() {
		for _, f := range all {
			if f != nil {
				_ = f.conn.NetConn().Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	brokertest.Eventually(t, "all streams have begun", func() bool { return allOf(all, func(f *follower) bool { return f.has("sse:connected") }) })
	return all
}

func allOf(all []*follower, test func(*follower) bool) bool {
	for _, f := range all {
		if !test(f) {
			return false
		}
	}
	return true
}

// A thousand connections that nothing serves but their streams live through reloads, and leave nothing behind when they end.
func TestParkedConnectionsOutliveReloads(t *testing.T) {
	const clients = 1000
	body := sitetest.Crowded("tls internal\n", "", "heartbeat 5s")
	sites := sitetest.ServeWith(t, wrapped, body)
	s := sites[0]
	s.Via("h2")
	s.Settled()
	before := s.Vitals()
	all := follow(t, s, clients)
	parked := func() bool {
		now := s.Vitals()
		return now[`sse_push_connections{hub="main",mode="held",protocol="h2"}`] == clients &&
			now["go_goroutines"] < before["go_goroutines"]+clients+100 // one of each client
	}
	brokertest.Eventually(t, "no connection has a goroutine", parked)
	for i, text := range []string{"once", "twice", "thrice"} {
		sitetest.MustLoad(t, sites, body+strings.Repeat("\nheader X-Round 1", i+1))
		s.Via("h2")
		s.Publish("topic", "room", "data", text)
		brokertest.Eventually(t, "all hear of it", func() bool { return allOf(all, func(f *follower) bool { return f.has("data: " + text) }) })
	}
	if !allOf(all, func(f *follower) bool { return !f.hasEnded() }) {
		t.Error("streams have ended")
	}
	brokertest.Eventually(t, "no connection has a goroutine", parked)
	for _, f := range all {
		_ = f.conn.NetConn().Close()
	}
	s.WantNothingLeft(before)
}

// When Caddy exits, the streams of parked connections end one by one, and none keeps the process.
func TestParkedConnectionsAndExit(t *testing.T) {
	p := sitetest.StartProcess(t, sitetest.Crowded("tls internal\n", "", "drain 1s"), "h2", 0, wrap)
	all := follow(t, p.Site, 1000)
	p.HTTP.CloseIdleConnections()
	p.Terminate()
	brokertest.Eventually(t, "all streams have ended", func() bool { return allOf(all, (*follower).hasEnded) })
}

// A client that says that nothing more will come from it has left, though it could still read.
func TestParkedConnectionIsHalfClosed(t *testing.T) {
	s := sitetest.ServeWith(t, wrapped, sitetest.Crowded("tls internal\n", "", ""))[0]
	s.Via("h2")
	before := s.Settled()
	for name, end := range map[string]func(*tls.Conn) error{
		"TLS": func(conn *tls.Conn) error { return conn.CloseWrite() },
		"TCP": func(conn *tls.Conn) error { return conn.NetConn().(*net.TCPConn).CloseWrite() },
	} {
		all := follow(t, s, 10)
		brokertest.Eventually(t, "no connection has an inner server", func() bool {
			s.HTTP.CloseIdleConnections()
			return innerServers() == 0
		})
		for _, f := range all {
			if err := end(f.conn); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, f := range all {
			<-f.gone
			_ = f.conn.NetConn().Close()
		}
		s.WantNothingLeft(before)
	}
}
