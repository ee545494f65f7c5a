package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// tokenRate is how many tokens an answer has in a second.
const tokenRate = 50

// model stands in for a model API. Its answers are streams of numbered tokens, all at the same pace.
type model struct {
	url string

	mu       sync.Mutex // guards what follows
	tokens   int        // of each answer
	begin    chan struct{}
	begun    time.Time // when begin was closed
	requests int
	open     int // answers under way
}

// startModel starts the model, and the app that is told of the ends of relays, unless they run. They end with the process.
func (b *bench) startModel() error {
	if b.model != nil {
		return nil
	}
	m, a := new(model), &app{told: map[string]*told{}}
	var err error
	if m.url, err = serve(m); err == nil {
		a.url, err = serve(a)
	}
	b.model, b.app = m, a
	return err
}

// serve serves HTTP on a loopback address, and returns its URL.
func serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { _ = http.Serve(l, h) }() // until the process ends
	return "http://" + l.Addr().String(), nil
}

// ready has the answers that are asked for from now on wait for start.
func (m *model) ready(tokens int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens, m.requests, m.begin = tokens, 0, make(chan struct{})
}

// start begins the answers.
func (m *model) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = time.Now()
	close(m.begin)
}

// asked waits until n answers have been asked for.
func (m *model) asked(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		requests := m.requests
		m.mu.Unlock()
		if requests == n {
			return nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the model was asked for %d answers, not %d: %w", requests, n, err)
		}
	}
}

// modelPath is where a stream's answer is.
func modelPath(stream int) string { return "/answer?stream=" + strconv.Itoa(stream) }

// ServeHTTP implements http.Handler.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	stream, _ := strconv.Atoi(r.URL.Query().Get("stream")) // 0 is as good
	m.mu.Lock()
	tokens, begin := m.tokens, m.begin
	m.requests++
	m.open++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.open--
		m.mu.Unlock()
	}()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	if out.Flush() != nil {
		return
	}
	ctx := r.Context()
	select {
	case <-begin:
	case <-ctx.Done():
		return
	}
	m.mu.Lock()
	start := m.begun
	m.mu.Unlock()
	if arrived.After(start) {
		start = arrived
	}
	// The streams' tokens are spread out over the time between two.
	const interval = time.Second / tokenRate
	start = start.Add(interval / 97 * time.Duration(stream%97))
	var line []byte
	for seq := range tokens {
		if sleep(ctx, time.Until(start.Add(time.Duration(seq)*interval))) != nil {
			return
		}
		line = append(line[:0], "data: "...)
		line = appendPayload(line, event{seq: uint32(seq), size: payloadSize}, now())
		line = append(line, "\n\n"...)
		if _, err := w.Write(line); err != nil || out.Flush() != nil {
			return
		}
	}
}
