package stream_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// server serves streams on their handlers' goroutines, over h1, h1-TLS or h2.
func server(t *testing.T, protocol string, timing *stream.Timing, pick func(*http.Request) *feed) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// As by a server's write timeout, but not of the handshake too. It is shorter than all that is waited for.
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		stream.Serve(r.Context(), w, r.Context().Value(connKey{}).(net.Conn), pick(r), timing)
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	if s.EnableHTTP2 = protocol == "h2"; protocol == "h1" {
		s.Start()
	} else {
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s
}

func overAll(t *testing.T, test func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"h1", "h1-TLS", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

// Frames of all sizes arrive unchanged, alone and together.
func TestServedBytes(t *testing.T) { overAll(t, testServedBytes) }

func testServedBytes(t *testing.T, protocol string) {
	f := newFeed()
	s := server(t, protocol, held, func(*http.Request) *feed { return f })
	var want strings.Builder
	sizes := []int{1, 5, 16 << 10, 16<<10 + 1, 1 << 20, 3, 100_000, 7}
	for i := range 40 {
		frame := strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)])
		want.WriteString(frame)
		f.put([]byte(frame))
	}
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, want.Len())
	if n, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want.String() {
		t.Errorf("got %d bytes and %v, want %d", n, err, want.Len())
	}
	last := strings.Repeat("z", 100_000)
	f.end([]byte(last))
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != last {
		t.Errorf("at last got %d bytes and %v, want %d", len(got), err, len(last))
	}
	if err := f.wait(t); err != nil {
		t.Errorf("closed with %v", err)
	}
}

// A silent stream outlives the server's own timeout.
func TestServedHeartbeat(t *testing.T) { t.Parallel(); overAll(t, testServedHeartbeat) }

func testServedHeartbeat(t *testing.T, protocol string) {
	f := newFeed()
	s := server(t, protocol, stream.NewTiming(time.Second, time.Minute), func(*http.Request) *feed { return f })
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != ":\n:\n" {
		t.Errorf("got %q, %v", got, err)
	}
	f.end()
	f.wait(t)
}

// deaf starts a client that takes nothing: it does not read the body of its response, so that over HTTP/2 the window is used up. If it is
// stuck, it does not even read its socket.
func deaf(t *testing.T, s *httptest.Server, stuck bool) {
	t.Helper()
	if !stuck {
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return
	}
	raw, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	// RFC 9113: settings (the largest initial window), a window update for the connection, and a GET.
	fmt.Fprint(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00"+"\x00\x04\x7f\xff\xff\xff"+
		"\x00\x00\x04\x08\x00\x00\x00\x00\x00"+"\x7f\xff\x00\x00"+
		"\x00\x00\x06\x01\x05\x00\x00\x00\x01"+"\x82\x87\x84\x41\x01x")
}

func eachDeaf(t *testing.T, test func(t *testing.T, protocol string, stuck bool)) {
	overAll(t, func(t *testing.T, protocol string) { test(t, protocol, false) })
	t.Run("h2, stuck", func(t *testing.T) {
		t.Parallel()
		test(t, "h2", true)
	})
}

// fill gives a stream more than a client's buffers take, and waits until some of it has been fetched.
func fill(t *testing.T, f *feed) {
	t.Helper()
	big := make([]byte, 1<<20)
	for range 64 {
		f.put(big)
	}
	brokertest.Eventually(t, "the client is full", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.frames) < 64
	})
}

// A client that takes nothing is given up.
func TestServedTimeout(t *testing.T) { t.Parallel(); eachDeaf(t, testServedTimeout) }

func testServedTimeout(t *testing.T, protocol string, stuck bool) {
	f := newFeed()
	s := server(t, protocol, stream.NewTiming(time.Hour, 1500*time.Millisecond), func(*http.Request) *feed { return f })
	deaf(t, s, stuck)
	fill(t, f)
	if err := f.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("closed with %v", err)
	}
}

// The end of a source does not wait for a client that takes nothing.
func TestServedEndsThoughNothingIsRead(t *testing.T) {
	t.Parallel()
	eachDeaf(t, testServedEndsThoughNothingIsRead)
}

func testServedEndsThoughNothingIsRead(t *testing.T, protocol string, stuck bool) {
	f := newFeed()
	s := server(t, protocol, held, func(*http.Request) *feed { return f })
	deaf(t, s, stuck)
	fill(t, f)
	f.end()
	f.wait(t) // for less than the write timeout
}

// A change of the timing applies to open streams.
func TestServedTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, w := newSource(), &recorder{ResponseRecorder: httptest.NewRecorder()}
		ctx, cancel := context.WithCancel(t.Context())
		timing := stream.NewTiming(time.Hour, time.Minute)
		go stream.Serve(ctx, w, nil, src, timing)
		synctest.Wait()
		timing.Set(10*time.Second, time.Minute)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := w.text(); got != ":\n" {
			t.Errorf("got %q", got)
		}
		timing.Set(time.Hour, time.Minute)
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if got := w.text(); got != ":\n" {
			t.Errorf("got %q", got)
		}
		cancel()
		<-src.closed
	})
}

// encoder is a wrapper that changes the body, and names its encoding.
type encoder struct{ http.ResponseWriter }

func (e encoder) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func (e encoder) WriteHeader(status int) {
	e.Header().Set("Content-Encoding", "upper")
	e.ResponseWriter.WriteHeader(status)
}

func (e encoder) Write(b []byte) (int, error) {
	return e.ResponseWriter.Write([]byte(strings.ToUpper(string(b))))
}

func TestServedThroughAnEncoder(t *testing.T) {
	src, w := newSource("a", "b"), httptest.NewRecorder()
	close(src.frames)
	stream.Serve(t.Context(), encoder{w}, nil, src, timing)
	if err := <-src.closed; err != nil || w.Body.String() != "ABBYE" {
		t.Errorf("got %v, %q", err, w.Body)
	}
}
