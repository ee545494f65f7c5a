package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// site is a server that the load's clients are tested against.
type site struct {
	target *target
	ctx    context.Context

	mu      sync.Mutex // guards what follows
	sources map[string]bool
	streams []chan string // what each stream sends next
}

func newSite(t *testing.T, p protocol) *site {
	t.Helper()
	s := &site{sources: map[string]bool{}}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	id, err := newIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, client := id.files(p)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s.target = &target{protocol: p, host: "localhost", tls: client, path: func(user int) string { return "/events?userId=" + userName(user) }}
	if p == h3 {
		packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http3.Server{Handler: s, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}})}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.Serve(packets) // it ends with an error always
		}()
		t.Cleanup(func() { server.Close(); packets.Close(); <-ended })
		s.target.address = packets.LocalAddr().String()
		return s
	}
	server := httptest.NewUnstartedServer(s)
	server.EnableHTTP2, server.TLS = true, &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	s.target.address = server.Listener.Addr().String()
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.sources[r.RemoteAddr] = true
	s.mu.Unlock()
	switch r.URL.Path {
	case "/large":
		_, _ = w.Write(make([]byte, 20<<20)) // the client says whether it came
	case "/upload":
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	case "/events":
		events := make(chan string, 100)
		s.mu.Lock()
		s.streams = append(s.streams, events)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			select {
			case text := <-events:
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			case <-r.Context().Done():
				return
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// broadcast sends an event to all streams, and returns how many these are.
func (s *site) broadcast(seq uint32) int {
	text := fmt.Sprintf("data: %s\n\n", appendPayload(nil, event{seq: seq, size: payloadSize}, now()))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range s.streams {
		stream <- text
	}
	return len(s.streams)
}

func TestCallersGrantAndKeepWindows(t *testing.T) {
	for _, p := range []protocol{h1TLS, h2, h2Go} {
		s := newSite(t, p)
		c, err := s.target.caller(s.ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*exchange{
			{method: "GET", path: "/large", size: 20 << 20}, // more than any window
			{method: "POST", path: "/upload", body: make([]byte, 3<<20), size: len("3145728 <nil>")},
			{method: "GET", path: "/small"},
		} {
			if err := c.do(e); err != nil {
				t.Errorf("%s: %s: %v", p, e.path, err)
			}
		}
		if err := c.hold(0); err != nil {
			t.Errorf("%s: a stream: %v", p, err)
		}
		if err := c.do(&exchange{method: "GET", path: "/small", size: 1}); err == nil {
			t.Errorf("%s: an answer of another size is no error", p)
		}
	}
}

// overSwarms runs a test with a swarm of each kind.
func overSwarms(t *testing.T, test func(t *testing.T, p protocol, site *site, s *swarm)) {
	for _, p := range []protocol{h1TLS, h2, h3} {
		t.Run(string(p), func(t *testing.T) {
			site := newSite(t, p)
			s, err := site.target.swarm()
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			test(t, p, site, s)
		})
	}
}

func TestSwarmsReadWhatStreamsSend(t *testing.T) {
	overSwarms(t, func(t *testing.T, p protocol, site *site, s *swarm) {
		if err := s.mustConnect(site.ctx, 2); err != nil {
			t.Fatal(err)
		}
		if p == h2 {
			s.further = true
		}
		if err := s.mustConnect(site.ctx, 4); err != nil {
			t.Fatal(err)
		}
		site.mu.Lock()
		sources, want := len(site.sources), 6
		if p == h2 {
			want = 2
		}
		site.mu.Unlock()
		if sources != want {
			t.Errorf("%d connections, want %d", sources, want)
		}
		for seq := range 3 {
			if n := site.broadcast(uint32(seq)); n != 6 {
				t.Errorf("%d streams, want 6", n)
			}
		}
		if err := s.settled(site.ctx, 18); err != nil {
			t.Fatal(err)
		}
		if n := lost(s.clients, 3); n != 0 {
			t.Errorf("%d events were lost", n)
		}
	})
}

// A slow client reads nothing while it is frozen, and everything later.
func TestSlowClientsStopReading(t *testing.T) {
	overSwarms(t, func(t *testing.T, _ protocol, site *site, s *swarm) {
		if err := s.mustConnect(site.ctx, 1); err != nil {
			t.Fatal(err)
		}
		s.nextSlow, s.smallBuffer = true, smallBuffer
		if err := s.mustConnect(site.ctx, 1); err != nil {
			t.Fatal(err)
		}
		slow := s.slowOnes()
		if err := s.driver.freeze(slow); err != nil {
			t.Fatal(err)
		}
		const events = 50
		for seq := range uint32(events) {
			site.broadcast(seq)
			if err := s.settled(site.ctx, int(seq)+1); err != nil {
				t.Fatal(err)
			}
		}
		if n := lost(s.clients[:1], events); n != 0 {
			t.Errorf("the other client lost %d", n)
		}
		if n := lost(slow, events); n < events/2 { // the read that was under way may have ended with some
			t.Errorf("the slow client read %d", events-n)
		}
		if err := s.driver.thaw(slow); err != nil {
			t.Fatal(err)
		}
		if err := s.quiet(site.ctx, &s.slow, events, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := lost(slow, events); n != 0 {
			t.Errorf("the slow client lost %d", n)
		}
	})
}

// A server that has let go of its tables asks for one of size 0.
func TestH2ClientForgetsItsTable(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := newH2Conn(client, chromeWindows)
	go c.serve()
	field := []hpack.HeaderField{{Name: "cookie", Value: strings.Repeat("x", 100)}}
	blocks := make(chan []byte, 1)
	framer := http2.NewFramer(server, server)
	go func() {
		_, _ = io.ReadFull(server, make([]byte, len(http2.ClientPreface)))
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				close(blocks)
				return
			}
			switch f := frame.(type) {
			case *http2.HeadersFrame:
				blocks <- bytes.Clone(f.HeaderBlockFragment())
			case *http2.SettingsFrame:
				if f.IsAck() {
					blocks <- nil
				}
			}
		}
	}()
	size := func() int {
		t.Helper()
		if err := c.open(&answer{done: make(chan error, 1)}, field, nil); err != nil {
			t.Fatal(err)
		}
		return len(<-blocks)
	}
	if first, second := size(), size(); first < 50 || second > 5 {
		t.Errorf("blocks of %d and %d bytes: the field is not in the table", first, second)
	}
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	if block := <-blocks; block != nil {
		t.Fatalf("a block of %d bytes instead of an acknowledgement", len(block))
	}
	if n := size(); n < 50 {
		t.Errorf("a block of %d bytes refers to a table of size 0", n)
	}
	client.Close()
}
