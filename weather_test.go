package ssepush_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fair is a directive for many clients, a hub that no limit is in the way of, and metrics beside it.
func fair(tls, limits, more string) string {
	return tls + route("hub main\nlimits {\nconnections off\nper_user off\n"+limits+"\n}\n"+more) + scraped
}

// vitals are what a process has, by its own metrics.
func (s *site) vitals() map[string]float64 {
	s.t.Helper()
	s.client.CloseIdleConnections()
	a := s.do("GET", "/metrics", "")
	s.client.CloseIdleConnections()
	values := map[string]float64{}
	for line := range strings.Lines(a.body) {
		if series, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok && series != "#" {
			if v, err := strconv.ParseFloat(text, 64); err == nil {
				values[series] = v
			}
		}
	}
	return values
}

const goroutines, descriptors, resident = "go_goroutines", "process_open_fds", "process_resident_memory_bytes"

// settled is what the process has while no client is there.
func (s *site) settled() map[string]float64 {
	s.t.Helper()
	c := s.open("/events?userId=u1&topic=room&topic=public/*") // what is started when it is first needed is there from now on
	s.publish("user", "u1", "data", "x")
	c.want("x")
	c.close()
	waitFor(s.t, "nobody is there", func() bool { return s.present() == 0 })
	return s.vitals()
}

// present counts what is in the hub's indexes.
func (s *site) present() (total int) {
	s.t.Helper()
	for _, view := range []string{"connections", "users", "topics"} {
		total += get[struct{ Total int }](s, "/_sse/"+view).Total
	}
	return total
}

// wantNothingLeft waits until no more is there than before.
func (s *site) wantNothingLeft(before map[string]float64) {
	s.t.Helper()
	left := map[string]float64{}
	if eventually(func() bool {
		now := s.vitals()
		clear(left)
		for series, value := range now {
			switch name, _, _ := strings.Cut(series, "{"); name {
			case "sse_push_connections", "sse_push_users", "sse_push_pending_bytes":
				left[series] = value
			case goroutines, descriptors:
				left[series] = value - before[series]
			}
		}
		left["CLOSE_WAIT"] = float64(closeWaits(s.t, s.addr))
		left["index"] = float64(s.present())
		if len(left) < 7 {
			s.t.Fatalf("metrics are missing: %v", now)
		}
		maps.DeleteFunc(left, func(_ string, n float64) bool { return n <= 0 })
		return len(left) == 0
	}) {
		return
	}
	s.t.Errorf("left over: %v", left)
	for _, stack := range ownGoroutines() {
		s.t.Log(stack)
	}
}

// closeWaits counts the connections to an address that their clients have closed, and the server has not.
func closeWaits(t *testing.T, addr string) (n int) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const closeWait = "08"
	for line := range strings.Lines(string(table)) { // number, local address, remote address, state
		if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] == closeWait {
			n++
		}
	}
	return n
}

// valve is a client's end of a connection, from which it reads only as much as the valve lets through.
type valve struct {
	net.Conn

	mu   sync.Mutex
	gate chan struct{} // closed while all may pass

	drops chan struct{} // each lets one byte pass
	once  sync.Once
	gone  chan struct{} // closed with the connection
}

func newValve() *valve {
	v := &valve{gate: make(chan struct{}), drops: make(chan struct{}, 1), gone: make(chan struct{})}
	close(v.gate)
	return v
}

// freeze lets nothing pass any more, beyond what is being read.
func (v *valve) freeze() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gate = make(chan struct{})
}

// thaw lets everything pass again.
func (v *valve) thaw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.gate)
}

// drip lets one byte pass.
func (v *valve) drip() {
	select {
	case v.drops <- struct{}{}:
	default:
	}
}

func (v *valve) Read(b []byte) (int, error) {
	v.mu.Lock()
	gate := v.gate
	v.mu.Unlock()
	select {
	case <-gate:
	case <-v.gone:
		return 0, net.ErrClosed
	case <-v.drops:
		b = b[:min(len(b), 1)]
	}
	return v.Conn.Read(b)
}

func (v *valve) Close() error {
	v.once.Do(func() { close(v.gone) })
	return v.Conn.Close()
}

// apart is the site as one client with a connection of its own sees it, behind a valve. The caller closes the valve.
func (s *site) apart() (*site, *valve) {
	v, used := newValve(), false
	like := s.client.Transport.(*http.Transport)
	transport := &http.Transport{
		TLSClientConfig: like.TLSClientConfig.Clone(), ForceAttemptHTTP2: like.ForceAttemptHTTP2,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}, // what the client takes without reading
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if used {
				return nil, errors.New("one connection is all that a valve has")
			}
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			used = true
			v.Conn = conn
			return v, nil
		},
	}
	other := *s
	other.client = &http.Client{Transport: transport}
	return &other, v
}

// serial is a client that reads events which are numbered, whatever else their data have.
type serial struct {
	*client
	valve *valve // nil: its connection is not its own

	next   int // the number it wants
	gaps   int
	missed int // what they covered
	inGap  bool
}

// take reads events up to a number, or to a gap that covers it.
func (c *serial) take(last int) error {
	for c.next <= last {
		var e event
		var ok bool
		select {
		case e, ok = <-c.events:
		case <-time.After(limit):
			return fmt.Errorf("waited in vain for %d", c.next)
		}
		if !ok {
			return fmt.Errorf("the stream has ended before %d", c.next)
		}
		c.id = e.ID
		switch e.Type {
		case "sse:position", "filler":
			continue
		case "sse:gap":
			c.gaps, c.inGap = c.gaps+1, true
			continue
		}
		text, _, _ := strings.Cut(e.Data, " ")
		n, err := strconv.Atoi(text)
		if err != nil || n < c.next || n > c.next && !c.inGap {
			return fmt.Errorf("got %.100q, want %d", e.Message, c.next)
		}
		c.missed, c.next, c.inGap = c.missed+n-c.next, n+1, false
	}
	return nil
}

// takeAll lets clients read at the same time.
func takeAll(t *testing.T, last int, clients ...*serial) {
	t.Helper()
	errs := make(chan error, len(clients))
	for _, c := range clients {
		go func() { errs <- c.take(last) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// leave closes streams, whose connections may be frozen.
func leave(clients []*serial) {
	for _, c := range clients {
		c.close()
		if c.valve != nil {
			_ = c.valve.Close()
		}
	}
}
