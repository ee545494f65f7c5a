package stream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// source is a fake. It returns the frames of its channel, and ends when that is closed.
type source struct {
	frames chan string
	waker  waker
	closed chan error
}

func newSource(frames ...string) *source {
	s := &source{frames: make(chan string, 100), closed: make(chan error, 1)}
	for _, f := range frames {
		s.frames <- f
	}
	return s
}

func (s *source) put(frame string) { s.frames <- frame; s.waker.Wake(false) }

func (s *source) Next(frames [][]byte, _ int64) ([][]byte, error) {
	select {
	case f, ok := <-s.frames:
		if !ok {
			return append(frames, []byte("bye")), io.EOF
		}
		return append(frames, []byte(f)), nil
	default:
		return frames, nil
	}
}

func (s *source) OnWake(w waker)     { s.waker = w }
func (s *source) Idle() []byte       { return []byte(":\n") }
func (s *source) Ended() bool        { return false }
func (s *source) Close(reason error) { s.closed <- reason }

// recorder is a client that takes everything at once.
type recorder struct {
	mu sync.Mutex
	*httptest.ResponseRecorder
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ResponseRecorder.Write(b)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Body.String()
}

var timing = stream.NewTiming(15*time.Second, time.Minute)

func TestHeartbeatIsResetByTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, w := newSource("first "), &recorder{ResponseRecorder: httptest.NewRecorder()}
		ctx, cancel := context.WithCancel(t.Context())
		go stream.Serve(ctx, w, nil, src, timing)
		synctest.Wait()
		if !w.Flushed || w.Code != http.StatusOK || w.text() != "first " {
			t.Fatalf("not sent at once: %d %q", w.Code, w.text())
		}
		time.Sleep(14 * time.Second)
		src.put("second ")
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if got := w.text(); got != "first second " {
			t.Errorf("got %q", got)
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if got := w.text(); got != "first second :\n:\n" {
			t.Errorf("got %q", got)
		}
		cancel()
		if err := <-src.closed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEnd(t *testing.T) {
	src, w := newSource("a", "b"), httptest.NewRecorder()
	close(src.frames)
	stream.Serve(t.Context(), w, nil, src, timing)
	if err := <-src.closed; err != nil || w.Body.String() != "abbye" {
		t.Errorf("got %v, %q", err, w.Body)
	}
}

// A client that takes nothing is given up.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		src := newSource()
		for range 100 {
			src.frames <- strings.Repeat("x", 1<<20)
		}
		stream.Serve(r.Context(), w, nil, src, stream.NewTiming(time.Minute, 200*time.Millisecond))
		result <- <-src.closed
	}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := <-result; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a time-out", err)
	}
}
