package stream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// wrapped is a connection of a listener wrapper that returns the connection below it, as that of proxy_protocol does.
type wrapped struct{ net.Conn }

func (w wrapped) TCPConn() (*net.TCPConn, bool) {
	tcp, ok := w.Conn.(*net.TCPConn)
	return tcp, ok
}

type wrapper struct{ net.Listener }

func (w wrapper) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	return wrapped{conn}, err
}

func TestHeldBehindAWrapper(t *testing.T) { onAll(t, testHeldBehindAWrapper) }

func testHeldBehindAWrapper(t *testing.T, kind string) {
	f := newFeed()
	s := unstarted(t, held, func(*http.Request) *feed { return f })
	s.Listener = wrapper{s.Listener}
	start(s, kind)
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f.put([]byte("hello"))
	f.end()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	f.wait(t)
}

func TestNotHeld(t *testing.T) {
	f := newFeed()
	done := make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		taken, err := stream.Hold(w, r, a, f, held)
		if err != nil {
			t.Error(err)
		}
		done <- taken
	}))
	defer s.Close()
	if _, err := s.Client().Get(s.URL); err != nil {
		t.Fatal(err)
	}
	if <-done {
		t.Error("a connection without a descriptor was taken over")
	}
	if len(f.closed) > 0 {
		t.Error("closed a source that it did not take")
	}
}

// If no descriptor is left to take a connection over, Hold has not touched the connection, and it can be served on its handler's goroutine.
func TestNotHeldWithoutDescriptors(t *testing.T) {
	f := newFeed()
	took := make(chan bool, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		release := useUpDescriptors(t)
		taken, err := stream.Hold(w, r, conn, f, held)
		release()
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("got %v", err)
		}
		took <- taken
		stream.Serve(r.Context(), w, conn, f, held)
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.Start()
	defer s.Close()
	f.frames, f.ended = [][]byte{[]byte("hello")}, true
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if <-took {
		t.Error("taken over")
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	f.wait(t)
}

// useUpDescriptors keeps the process from opening descriptors, until release is called.
func useUpDescriptors(t *testing.T) (release func()) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Error(err)
	}
	few := before
	few.Cur = 1 // open descriptors stay open; 0 would cause another error
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Error(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
}
