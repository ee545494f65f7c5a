package stream_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// recorded is a connection that remembers what net/http has written to it, write by write.
type recorded struct {
	wrapped
	mu     sync.Mutex // guards writes
	writes [][]byte
}

func (c *recorded) Write(b []byte) (int, error) {
	n, err := c.wrapped.Write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.writes = append(c.writes, bytes.Clone(b[:n]))
	}
	return n, err
}

type recordingListener struct {
	net.Listener
	conns chan *recorded
}

func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &recorded{wrapped: wrapped{conn}}
	l.conns <- c
	return c, nil
}

// late is a wrapper that writes the headers with the first byte or flush.
type late struct {
	http.ResponseWriter
	wrote bool
}

func (w *late) WriteHeader(int) {}

func (w *late) FlushError() error {
	if !w.wrote {
		w.wrote = true
		w.Header().Set("Late", "yes")
		w.ResponseWriter.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *late) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// The first frames of a stream go out together with the headers, if they are small, and no wrapper may have the headers still.
func TestFirstFramesWithTheHeaders(t *testing.T) {
	small, large := "data: small\n\n", "data: "+strings.Repeat("x", 100<<10)+"\n\n"
	for _, test := range []struct {
		name     string
		frames   []string
		wrap     func(http.ResponseWriter) http.ResponseWriter
		together string // what net/http writes behind the headers, without the marks of chunks
	}{
		{"small", []string{small, small}, nil, small + small},
		{"none", nil, nil, ""},
		{"large", []string{large}, nil, ""},
		{"then a large one", []string{small, large}, nil, small},
		{"wrapped", []string{small}, func(w http.ResponseWriter) http.ResponseWriter { return &late{ResponseWriter: w} }, ""},
	} {
		for _, ends := range []bool{false, true} {
			t.Run(test.name+map[bool]string{true: ", then the end"}[ends], func(t *testing.T) {
				t.Parallel()
				f := newFeed()
				for _, frame := range test.frames {
					f.put([]byte(frame))
				}
				if ends {
					f.end()
				}
				s := unstarted(t, held, func(*http.Request) *feed { return f })
				handler := s.Config.Handler
				s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if test.wrap != nil {
						w = test.wrap(w)
					}
					handler.ServeHTTP(w, r)
				})
				conns := make(chan *recorded, 1)
				s.Listener = recordingListener{s.Listener, conns}
				s.Start()
				resp, err := s.Client().Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				want := strings.Join(test.frames, "")
				if !ends {
					f.put([]byte(small))
					f.end()
					want += small
				}
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
					t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
				}
				if test.wrap != nil && resp.Header.Get("Late") == "" {
					t.Error("the headers went out without the wrapper's")
				}
				if err := f.wait(t); err != nil {
					t.Errorf("closed with %v", err)
				}
				c := <-conns
				c.mu.Lock()
				defer c.mu.Unlock()
				_, body, _ := bytes.Cut(c.writes[0], []byte("\r\n\r\n"))
				if test.together != "" {
					_, body, _ = bytes.Cut(bytes.TrimSuffix(body, []byte("\r\n")), []byte("\r\n"))
				}
				if len(c.writes) != 1 || string(body) != test.together {
					t.Errorf("%d writes, the first with %d bytes behind the headers, want %d", len(c.writes), len(body), len(test.together))
				}
			})
		}
	}
}

// A client of HTTP/1.0 gets the first frames as they are.
func TestFirstFramesHTTP10(t *testing.T) {
	f := newFeed()
	f.put([]byte("data: raw\n\n"))
	s := unstarted(t, held, func(*http.Request) *feed { return f })
	conns := make(chan *recorded, 1)
	s.Listener = recordingListener{s.Listener, conns}
	s.Start()
	conn := dial(t, s)
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c := <-conns
	f.end()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.HasSuffix(got, []byte("\r\n\r\ndata: raw\n\n")) {
		t.Errorf("got %q, %v", got, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.writes) != 1 || !bytes.Equal(c.writes[0], got) {
		t.Errorf("written in pieces: %q", c.writes)
	}
}

// A client that is gone before the headers are written ends its stream, which was never held.
func TestFirstFramesOfALeaver(t *testing.T) {
	f := newFeed()
	f.put([]byte("data: x\n\n"))
	taken := make(chan bool, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
		ok, err := stream.Hold(w, r, conn, f, held)
		if err != nil {
			t.Error(err)
		}
		taken <- ok
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.Start()
	defer s.Close()
	conn := dial(t, s)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if !<-taken {
		t.Error("not taken over")
	}
	if err := f.wait(t); err == nil {
		t.Error("closed without a reason")
	}
	f.put([]byte("data: late\n\n")) // wakes nobody
}

// With TLS that does not wait, the headers and the first frames are one record.
func TestFirstFramesInOneRecord(t *testing.T) {
	f := newFeed()
	f.put([]byte("data: small\n\n"))
	s := holder(t, "wrapped", held, func(*http.Request) *feed { return f })
	conn := dial(t, s)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	record := make([]byte, 16<<10)
	n, err := conn.Read(record) // of one record at most
	if err != nil || !strings.Contains(string(record[:n]), "\r\ndata: small\n\n") {
		t.Errorf("got %q, %v", record[:n], err)
	}
	f.end()
	f.wait(t)
}

// A handler around the stream that goes on writing, after the connection was taken over, writes nothing to the client.
func TestNothingIsWrittenBesideTheStream(t *testing.T) { onAll(t, testNothingIsWrittenBesideTheStream) }

func testNothingIsWrittenBesideTheStream(t *testing.T, kind string) {
	f := newFeed()
	f.put([]byte("data: first\n\n"))
	s := unstarted(t, held, func(*http.Request) *feed { return f })
	handler := s.Config.Handler
	returned := make(chan struct{})
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		handler.ServeHTTP(w, r)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
		if _, err := w.Write(bytes.Repeat([]byte("late "), 10_000)); err == nil {
			t.Error("written")
		}
	})
	start(s, kind)
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-returned
	f.put([]byte("data: last\n\n"))
	f.end()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "data: first\n\ndata: last\n\n" {
		t.Errorf("got %.200q, %v", got, err)
	}
	f.wait(t)
}
