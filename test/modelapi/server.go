package modelapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Counts says what clients have read.
type Counts struct {
	Requests int `json:"requests"`
	Open     int `json:"open"`     // answers under way
	Tokens   int `json:"tokens"`   // written to clients that read; see Writing
	Bytes    int `json:"bytes"`    // the same
	Writing  int `json:"writing"`  // writes that have not returned: if it stays above 0, a client does not read
	Complete int `json:"complete"` // answers that were written to their end
	Left     int `json:"left"`     // answers whose client left before
}

// Request is a request as it came.
type Request struct {
	Method, URI string
	Header      http.Header
	Body        string
}

// Server is the API. It serves each format at the path that its original has, at GET /count what has been read from it, and at GET
// /clock a stream of its own.
type Server struct {
	URL string // set by Start

	answer Answer // for requests that ask for nothing else
	clocks atomic.Int32

	mu       sync.Mutex // guards what follows
	counts   Counts
	requests []Request // the newest
}

const (
	maxRequests = 100
	maxBody     = 1 << 20
	// sendBuffer keeps small what the kernel takes for a client that does not read.
	sendBuffer = 4 << 10
)

// New returns an API whose answers are as a says, unless a request asks for another.
func New(a Answer) *Server { return &Server{answer: a} }

// Start serves an API until the test ends.
func Start(t testing.TB, a Answer) *Server {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(a)
	s.URL = "http://" + listener.Addr().String()
	server := s.server()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the stand-in for a model API ended: %v", err)
		}
	})
	return s
}

// Serve serves the API until the listener ends.
func (s *Server) Serve(l net.Listener) error { return s.server().Serve(l) }

func (s *Server) server() *http.Server {
	return &http.Server{Handler: s, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(sendBuffer) // if it fails, more counts as read
		}
		return ctx
	}}
}

// Counts returns what has been read so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Requests returns the newest requests, the oldest of them first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *Server) count(change func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/count" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Counts())
		return
	}
	if r.URL.Path == "/clock" {
		s.serveClock(w, r)
		return
	}
	f, ok := formats[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	// To its end: only then does net/http notice that a client leaves.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, err := s.answer.with(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.counts.Requests++
	s.counts.Open++
	s.requests = append(s.requests, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
	s.requests = s.requests[max(0, len(s.requests)-maxRequests):]
	s.mu.Unlock()
	defer s.count(func(c *Counts) { c.Open-- })

	if err := sleep(r.Context(), a.First); err != nil {
		s.count(func(c *Counts) { c.Left++ })
		return
	}
	if status := cmp.Or(a.Status, http.StatusOK); status != http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, f.refuse(status))
		return
	}
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("Cache-Control", "no-cache")
	if err := s.stream(w, r, f, a); err != nil {
		s.count(func(c *Counts) { c.Left++ })
	}
}

// stream writes an answer. It returns an error if the client left.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, f format, a Answer) error {
	ctx, start, pinged := r.Context(), time.Now(), time.Now()
	if err := s.write(w, f.begin(), 0); err != nil {
		return err
	}
	for i := range a.Tokens {
		if err := a.wait(ctx, start, i); err != nil {
			return err
		}
		if a.Ping > 0 && time.Since(pinged) >= a.Ping {
			pinged = time.Now()
			if err := s.write(w, f.ping(), 0); err != nil {
				return err
			}
		}
		if err := s.write(w, f.token(a.token(i)), 1); err != nil {
			return err
		}
		switch i + 1 {
		case a.Drop:
			panic(http.ErrAbortHandler)
		case a.Fail:
			return s.write(w, f.fail(), 0)
		case a.Silent:
			<-ctx.Done()
			return ctx.Err()
		}
	}
	if err := s.write(w, f.end(a.Tokens), 0); err != nil {
		return err
	}
	s.count(func(c *Counts) { c.Complete++ })
	return nil
}

// write writes a text with so many tokens and waits until the kernel has taken it.
func (s *Server) write(w http.ResponseWriter, text string, tokens int) error {
	s.count(func(c *Counts) { c.Writing++ })
	_, err := io.WriteString(w, text)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	s.count(func(c *Counts) {
		c.Writing--
		if err == nil {
			c.Tokens += tokens
			c.Bytes += len(text)
		}
	})
	return err
}
