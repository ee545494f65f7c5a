package stream_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// holder serves streams that are taken over. pick returns the source for a request.
func holder(t *testing.T, kind string, timing *stream.Timing, pick func(*http.Request) *feed) *httptest.Server {
	t.Helper()
	s := unstarted(t, timing, pick)
	start(s, kind)
	return s
}

func unstarted(t *testing.T, timing *stream.Timing, pick func(*http.Request) *feed) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		if taken, err := stream.Hold(w, r, conn, pick(r), timing); !taken {
			t.Errorf("not taken over: %v", err)
		}
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	t.Cleanup(s.Close)
	return s
}

// start starts a server: without TLS ("plain"), with that of the standard library ("tls"), or with the listener wrapper ("wrapped").
func start(s *httptest.Server, kind string) {
	switch kind {
	case "plain":
		s.Start()
	case "tls":
		s.StartTLS()
	case "wrapped":
		other := httptest.NewUnstartedServer(nil) // has a certificate
		other.StartTLS()
		other.Close()
		s.TLS = other.TLS
		s.Listener = shaken{s.Listener, s.TLS}
		s.Start()
		s.URL = strings.Replace(s.URL, "http:", "https:", 1)
		s.Client().Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
}

// shaken is a listener whose connections have a transport of ours, and have shaken hands.
type shaken struct {
	net.Listener
	config *tls.Config
}

func (l shaken) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c, err := transport.Server(conn, l.config)
	if err != nil {
		return nil, err
	}
	if err := c.Handshake(context.Background(), limit); err != nil {
		return nil, err
	}
	return c.Blocking(), nil
}

// onAll runs a test on all kinds of connections at the same time.
func onAll(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{"plain", "tls", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

func dial(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if s.TLS != nil {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	return conn
}

func TestHeldBytes(t *testing.T) { onAll(t, testHeldBytes) }

func testHeldBytes(t *testing.T, kind string) {
	f := newFeed()
	s := holder(t, kind, held, func(*http.Request) *feed { return f })
	var want bytes.Buffer
	sizes := []int{1, 0, 5, 16 << 10, 16<<10 + 1, 1 << 20, 3, 100_000, 7}
	for i := range 60 {
		frame := bytes.Repeat([]byte{byte('a' + i%26)}, sizes[i%len(sizes)])
		want.Write(frame)
		if len(frame) > 0 {
			f.put(frame)
		}
	}
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, want.Len())
	if n, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes and %v, want %d", n, err, want.Len())
	}
	last := bytes.Repeat([]byte("z"), 100_000) // more than one write takes comes together with the end
	f.end(last)
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, last) {
		t.Errorf("at last got %d bytes and %v, want %d", len(got), err, len(last))
	}
	if err := f.wait(t); err != nil {
		t.Errorf("closed with %v", err)
	}
}

func TestHeldHTTP10(t *testing.T) {
	f := newFeed()
	s := holder(t, "plain", held, func(*http.Request) *feed { return f })
	conn := dial(t, s)
	f.put([]byte("data: raw\n\n"))
	f.end()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	got, err := io.ReadAll(conn)
	head, body, _ := strings.Cut(string(got), "\r\n\r\n")
	if err != nil || body != "data: raw\n\n" || strings.Contains(head, "chunked") {
		t.Errorf("got %q, %v", got, err)
	}
}

// The stream of a client that leaves ends although nothing is written to it, and its descriptor is closed.
func TestHeldLeaver(t *testing.T) { // not beside others, as it counts the process's descriptors
	t.Run("plain", func(t *testing.T) { testHeldLeaver(t, "plain") })
	t.Run("tls", func(t *testing.T) { testHeldLeaver(t, "tls") })
	t.Run("wrapped", func(t *testing.T) { testHeldLeaver(t, "wrapped") })
}

func testHeldLeaver(t *testing.T, kind string) {
	f := newFeed()
	s := holder(t, kind, held, func(*http.Request) *feed { return f })
	before := descriptors(t)
	conn := dial(t, s)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.put([]byte("x"))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("got %q, %v", line, err)
	}
	conn.Close()
	if err := f.wait(t); err == nil {
		t.Error("closed without a reason")
	}
	brokertest.Eventually(t, "descriptors are closed", func() bool { return descriptors(t) <= before })
}

// A client that reads nothing delays neither other clients nor the end of its own stream. It is given up after the timeout.
func TestHeldSlowClient(t *testing.T) { t.Parallel(); onAll(t, testHeldSlowClient) }

func testHeldSlowClient(t *testing.T, kind string) {
	slow, fast := newFeed(), newFeed()
	s := holder(t, kind, stream.NewTiming(time.Hour, time.Second), func(r *http.Request) *feed {
		if r.URL.Path == "/slow" {
			return slow
		}
		return fast
	})
	conn := dial(t, s)
	fmt.Fprint(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	big := make([]byte, 1<<20)
	for range 64 {
		slow.put(big)
	}
	resp, err := s.Client().Get(s.URL + "/fast")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 100 {
		fast.put([]byte("tick\n"))
		if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if err := slow.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("closed with %v", err)
	}
	fast.end()
	fast.wait(t)
}

func TestHeldEndsThoughNothingIsRead(t *testing.T) {
	t.Parallel()
	onAll(t, testHeldEndsThoughNothingIsRead)
}

func testHeldEndsThoughNothingIsRead(t *testing.T, kind string) {
	f := newFeed()
	s := holder(t, kind, held, func(*http.Request) *feed { return f })
	conn := dial(t, s)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	big := make([]byte, 1<<20)
	for range 64 {
		f.put(big)
	}
	brokertest.Eventually(t, "the socket is full", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.frames) < 64
	})
	f.end()
	f.wait(t)
}

func TestHeldHeartbeat(t *testing.T) { t.Parallel(); onAll(t, testHeldHeartbeat) }

func testHeldHeartbeat(t *testing.T, kind string) {
	f := newFeed()
	s := holder(t, kind, stream.NewTiming(time.Second, time.Minute), func(*http.Request) *feed { return f })
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

// Descriptors are reused again and again while others are written to. No client ever gets a byte of another client's stream, even if that
// client has left and its feed still gets frames.
func TestHeldDescriptorsAreReused(t *testing.T) { onAll(t, testHeldDescriptorsAreReused) }

func testHeldDescriptorsAreReused(t *testing.T, kind string) {
	const clients, most = 8, 100
	rounds := 60
	if kind != "plain" {
		rounds = 20 // handshakes take long
	}
	var feeds sync.Map
	s := holder(t, kind, held, func(r *http.Request) *feed {
		f, _ := feeds.LoadAndDelete(r.URL.Path)
		return f.(*feed)
	})
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			for round := range rounds {
				name := fmt.Sprintf("[%d.%d]", c, round)
				f := newFeed()
				f.single = true // many small writes, which alternate with those of other streams
				feeds.Store("/"+name, f)
				conn := dial(t, s)
				fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", name)
				running.Go(func() {
					for range 2 * most {
						f.put([]byte(name))
					}
				})
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len(name)*(1+rand.IntN(most)))
				if _, err := io.ReadFull(resp.Body, got); err != nil {
					t.Error(err)
				}
				if want := strings.Repeat(name, len(got)/len(name)); string(got) != want {
					t.Errorf("%s got %.200q", name, got)
				}
				conn.Close()
				f.wait(t)
			}
		})
	}
	running.Wait()
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A change of the timing applies to open streams.
func TestHeldTiming(t *testing.T) { t.Parallel(); onAll(t, testHeldTiming) }

func testHeldTiming(t *testing.T, kind string) {
	timing := stream.NewTiming(time.Hour, 20*time.Second) // looked at every five seconds
	silent, slow := newFeed(), newFeed()
	s := holder(t, kind, timing, func(r *http.Request) *feed {
		if r.URL.Path == "/slow" {
			return slow
		}
		return silent
	})
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn := dial(t, s)
	fmt.Fprint(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	fill(t, slow)
	begun := time.Now()
	timing.Set(time.Second, time.Second)
	if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
		t.Error(err)
	}
	if err := slow.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("closed with %v", err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	silent.end()
	silent.wait(t)
}
