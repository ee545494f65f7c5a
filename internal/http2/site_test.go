//lint:file-ignore SA1019 Caddy runs this server, so the tests do.

package http2

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// site is a server with a Server in front of it, for clients without TLS.
type site struct {
	*Server
	inner http2.Server

	mu     sync.Mutex
	fresh  int // how many inner servers there were
	inners []*inner
	feeds  map[string]*feed
	conns  sync.WaitGroup
}

// newSite returns a site whose inner servers are let go at once.
func newSite(t testing.TB) *site {
	s := &site{feeds: map[string]*feed{}}
	base := t.Context()
	s.Server = NewServer(func(c net.Conn) bool {
		s.mu.Lock()
		s.fresh++
		if len(s.inners) < 1000 {
			s.inners = append(s.inners, c.(*inner))
		}
		s.mu.Unlock()
		ctx := context.WithValue(base, connKey{}, c.RemoteAddr().(*address).conn)
		s.conns.Go(func() { s.inner.ServeConn(c, &http2.ServeConnOpts{Handler: s, Context: ctx, BaseConfig: quiet}) })
		return true
	})
	s.pause = 0
	t.Cleanup(func() {
		s.Server.mu.Lock()
		conns := make([]*Conn, 0, len(s.Server.conns))
		for c := range s.Server.conns {
			conns = append(conns, c)
		}
		s.Server.mu.Unlock()
		for _, c := range conns {
			c.lose(net.ErrClosed)
		}
		s.conns.Wait()
		if !t.Failed() {
			until(t, s.left)
		}
	})
	return s
}

// idleAfter sets the idle timeout of inner servers.
func (s *site) idleAfter(d time.Duration) { s.inner.IdleTimeout = d }

// left reports whether nothing reads for an inner server any more.
func (s *site) left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.inners, func(in *inner) bool { return in.inside.Load() })
}

// quiet makes servers log nothing.
var quiet = &http.Server{ErrorLog: log.New(io.Discard, "", 0)}

type connKey struct{}

// dial returns a client's end of a new connection.
func (s *site) dial() (*Conn, far) {
	p := newPlain()
	s.Serve(p)
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	for c := range s.Server.conns {
		if c.transport == p {
			return c, far{p}
		}
	}
	panic("the connection is not registered")
}

// browser is a client with a connection.
type browser struct {
	*http.ClientConn
	t testing.TB
	c *Conn
}

func (s *site) browser(t testing.TB) *browser {
	t.Helper()
	c, end := s.dial()
	transport := &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return end, nil },
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	cc, err := transport.NewClientConn(t.Context(), "http", "site:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return &browser{cc, t, c}
}

// do sends a request and returns the body of the answer.
func (b *browser) do(method, path, body string) string {
	b.t.Helper()
	r, err := http.NewRequest(method, "http://site"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := b.RoundTrip(r)
	if err != nil {
		b.c.mu.Lock()
		defer b.c.mu.Unlock()
		b.t.Fatalf("%s %s: %v; %+v", method, path, err, b.c.state)
	}
	defer w.Body.Close()
	got, err := io.ReadAll(w.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v after %d bytes", method, path, err, len(got))
	}
	return string(got)
}

// events opens a stream, and returns its body.
func (b *browser) events(name string) io.ReadCloser {
	b.t.Helper()
	r, err := http.NewRequest("GET", "http://site/events?"+name, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := b.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return w.Body
}

// expect reads exactly these bytes.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

// parked waits until the inner server was let go.
func (b *browser) parked() {
	b.t.Helper()
	until(b.t, func() bool {
		b.c.mu.Lock()
		defer b.c.mu.Unlock()
		return b.c.inner == nil
	})
}

// until waits for a condition.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for pause := time.Microsecond; !holds(); pause = min(2*pause, time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("this takes too long")
		}
		time.Sleep(pause)
	}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/events":
		s.events(w, r)
	case "/post":
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	case "/file":
		n, _ := strconv.Atoi(r.URL.RawQuery)
		_, _ = w.Write(file[:n])
	case "/last":
		w.Header().Set("Connection", "close")
		_, _ = w.Write(file[:maxQueued/2])
	default:
		http.NotFound(w, r)
	}
}

// file is what /file returns the beginning of.
var file = func() []byte {
	b := make([]byte, 0, 8<<20)
	for i := 0; len(b) < cap(b)-16; i++ {
		b = fmt.Appendf(b, "%d,", i)
	}
	return b
}()

// events serves a stream.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	name := r.URL.RawQuery
	if name == "close" {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	f := &feed{room: make(chan struct{}, 1), over: make(chan struct{})}
	var st *Held
	if c := r.Context().Value(connKey{}).(*Conn); c != nil {
		st = c.hold(r.Context(), func(b []byte) error {
			if _, err := w.Write(b); err != nil {
				return err
			}
			return http.NewResponseController(w).Flush()
		})
	}
	if st != nil {
		f.st = st
		st.Attach(f)
	}
	s.mu.Lock()
	s.feeds[name] = f
	s.mu.Unlock()
	switch name {
	case "panic":
		panic(http.ErrAbortHandler)
	case "trailers":
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}
	if st == nil { // as a stream on its handler's goroutine
		<-r.Context().Done()
	}
}

// feed is what feeds a stream of a site.
type feed struct {
	st     *Held // nil if it is not held
	room   chan struct{}
	over   chan struct{} // closed when the client has left
	reason error
}

func (f *feed) Room() {
	select {
	case f.room <- struct{}{}:
	default:
	}
}

func (f *feed) Left(reason error) {
	f.reason = reason
	close(f.over)
}

// feed waits for a stream's feed.
func (s *site) feed(t testing.TB, name string) *feed {
	t.Helper()
	var f *feed
	until(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		f = s.feeds[name]
		return f != nil
	})
	return f
}
