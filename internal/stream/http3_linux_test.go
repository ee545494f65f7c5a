package stream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// http3Holder serves streams of HTTP/3 that are taken over, and returns their URL.
func http3Holder(t *testing.T, timing *stream.Timing, pick func(*http.Request) *feed) string {
	t.Helper()
	return http3Server(t, func(w http.ResponseWriter, r *http.Request) {
		if taken, err := stream.Hold(w, r, nil, pick(r), timing); !taken {
			t.Errorf("not taken over: %v", err)
		}
	})
}

func http3Server(t *testing.T, handler http.HandlerFunc) (url string) {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	certificates.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &http3.Server{
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: certificates.TLS.Certificates}),
		Handler:   handler,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(conn)
	}()
	t.Cleanup(func() {
		s.Close()
		conn.Close()
		<-served
	})
	return "https://" + conn.LocalAddr().String()
}

func http3Client(t *testing.T) *http.Client { return http3ClientWith(t, 128<<10, nil) }

// http3ClientWith is a client that takes as much as window of a stream without reading it.
func http3ClientWith(t *testing.T, window uint64, dial func(context.Context, string, *tls.Config, *quic.Config) (*quic.Conn, error)) *http.Client {
	t.Helper()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		QUICConfig: &quic.Config{
			InitialStreamReceiveWindow: window, MaxStreamReceiveWindow: window,
			InitialConnectionReceiveWindow: 2 * window, MaxConnectionReceiveWindow: 2 * window,
		},
		Dial: dial,
	}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport}
}

func open(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Frames of all sizes arrive unchanged, alone and together.
func TestHeldHTTP3Bytes(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single %t", single), func(t *testing.T) {
			f := newFeed()
			f.single = single
			url := http3Holder(t, held, func(*http.Request) *feed { return f })
			var want bytes.Buffer
			sizes := []int{1, 5, 1199, 1200, 1201, 4 << 10, 16 << 10, 16<<10 + 1, 1 << 20, 3, 100_000, 7}
			put := func(n int) {
				for i := range n {
					frame := bytes.Repeat([]byte{byte('a' + i%26)}, sizes[i%len(sizes)])
					want.Write(frame)
					f.put(frame)
				}
			}
			put(30)
			resp := open(t, http3Client(t), url)
			put(30)
			got := make([]byte, want.Len())
			if n, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("got %d bytes and %v, want %d", n, err, want.Len())
			}
			f.put([]byte("the last"))
			f.end()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "the last" {
				t.Errorf("got %q and %v", got, err)
			}
			if err := f.wait(t); err != nil {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

// A stream stays on its handler's goroutine if a wrapper encodes the body, which shows only after the headers.
func TestHTTP3NotHeldThroughAnEncoder(t *testing.T) {
	f := newFeed()
	f.frames, f.ended = [][]byte{[]byte("hello")}, true
	url := http3Server(t, func(w http.ResponseWriter, r *http.Request) {
		w = encoder{w}
		if taken, err := stream.Hold(w, r, nil, f, held); taken || err != nil {
			t.Errorf("got %t, %v", taken, err)
		}
		stream.Serve(r.Context(), w, nil, f, held)
	})
	resp := open(t, http3Client(t), url)
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "HELLO" || resp.Header.Get("Content-Encoding") != "upper" {
		t.Errorf("got %q, %v, %v", got, err, resp.Header)
	}
	if err := f.wait(t); err != nil {
		t.Errorf("closed with %v", err)
	}
}

func TestHeldHTTP3Heartbeat(t *testing.T) {
	t.Parallel()
	f := newFeed()
	url := http3Holder(t, stream.NewTiming(time.Second, time.Minute), func(*http.Request) *feed { return f })
	resp := open(t, http3Client(t), url)
	got := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != ":\n:\n" {
		t.Errorf("got %q, %v", got, err)
	}
	f.end()
	f.wait(t)
}

// The stream of a client that leaves ends although nothing is written to it, whether the client stops the stream or closes the
// connection.
func TestHeldHTTP3Leaver(t *testing.T) {
	for _, stop := range []bool{false, true} {
		t.Run(fmt.Sprintf("stop %t", stop), func(t *testing.T) {
			f := newFeed()
			url := http3Holder(t, held, func(*http.Request) *feed { return f })
			client := http3Client(t)
			resp := open(t, client, url)
			if stop {
				resp.Body.Close()
			} else {
				client.Transport.(*http3.Transport).Close()
			}
			if err := f.wait(t); err == nil || !strings.Contains(err.Error(), "left") {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

// quic-go forgets streams that are over, however they end. Otherwise a connection would have 100 of them and no more.
func TestHeldHTTP3StreamsAreForgotten(t *testing.T) {
	feeds := make(chan *feed, 1)
	url := http3Holder(t, held, func(*http.Request) *feed { return <-feeds })
	connections := 0
	client := http3ClientWith(t, 128<<10, func(ctx context.Context, addr string, tls *tls.Config, config *quic.Config) (*quic.Conn, error) {
		if connections++; connections > 1 {
			return nil, errors.New("the connection has no room for another stream")
		}
		return quic.DialAddr(ctx, addr, tls, config)
	})
	unending, _ := io.Pipe()
	for i := range 330 {
		f := newFeed()
		feeds <- f
		var resp *http.Response
		if i%3 == 0 {
			var err error
			if resp, err = client.Post(url, "text/plain", unending); err != nil {
				t.Fatal(err)
			}
		} else {
			resp = open(t, client, url)
		}
		f.put([]byte("hello"))
		if i%3 < 2 {
			f.end()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		resp.Body.Close()
		f.wait(t)
	}
}

// An idle stream has no goroutine.
func TestHeldHTTP3Goroutines(t *testing.T) {
	const n = 90 // quic-go lets a connection have 100
	var mu sync.Mutex
	var feeds []*feed
	url := http3Holder(t, held, func(*http.Request) *feed {
		mu.Lock()
		defer mu.Unlock()
		f := newFeed()
		feeds = append(feeds, f)
		return f
	})
	client := http3ClientWith(t, 6<<20, nil)
	hear := func(resp *http.Response, text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != text {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
	var all []*http.Response
	for range n {
		all = append(all, open(t, client, url))
	}
	mu.Lock()
	defer mu.Unlock()
	for _, text := range []string{"small", strings.Repeat("large", 10_000)} {
		for _, f := range feeds {
			f.put([]byte(text))
		}
		for _, resp := range all {
			hear(resp, text)
		}
	}
	brokertest.Eventually(t, "their goroutines have ended", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("HandleRequestStream")) && !bytes.Contains(stacks, []byte("quicStream"))
	})
	for _, f := range feeds {
		f.end()
		f.wait(t)
	}
}

// Clients that read nothing delay neither other clients nor the end of their own streams. They are given up after the timeout.
func TestHeldHTTP3SlowClients(t *testing.T) {
	t.Parallel()
	slow, fast := make(chan *feed, 1), newFeed()
	url := http3Holder(t, stream.NewTiming(time.Hour, 2*time.Second), func(r *http.Request) *feed {
		if r.URL.Path == "/slow" {
			return <-slow
		}
		return fast
	})
	var feeds []*feed
	for range 10 * runtime.GOMAXPROCS(0) { // more than may write on goroutines at once
		f := newFeed()
		feeds = append(feeds, f)
		slow <- f
		open(t, http3Client(t), url+"/slow")
		fill(t, f)
	}
	resp := open(t, http3Client(t), url+"/fast")
	tick := bytes.Repeat([]byte("tick"), 2000)
	for range 100 {
		fast.put(tick)
		if _, err := io.ReadFull(resp.Body, make([]byte, len(tick))); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range feeds {
		if err := f.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("closed with %v", err)
		}
	}
	fast.end()
	fast.wait(t)
}

func TestHeldHTTP3EndsThoughNothingIsRead(t *testing.T) {
	t.Parallel()
	f := newFeed()
	url := http3Holder(t, held, func(*http.Request) *feed { return f })
	open(t, http3Client(t), url)
	fill(t, f)
	f.end()
	f.wait(t) // for less than the write timeout
}

// freezer is a socket that stops taking anything.
type freezer struct {
	*net.UDPConn
	frozen chan struct{}
}

func (f freezer) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := f.UDPConn.ReadFrom(b)
		select {
		case <-f.frozen:
			if err == nil {
				continue
			}
		default:
		}
		return n, addr, err
	}
}

// Of small frames, little is kept for a client that takes nothing, however large its window is.
func TestHeldHTTP3FrozenClient(t *testing.T) {
	f := newFeed()
	f.single = true
	url := http3Holder(t, held, func(*http.Request) *feed { return f })
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	frozen := freezer{socket, make(chan struct{})}
	transport := &quic.Transport{Conn: struct{ net.PacketConn }{frozen}}
	t.Cleanup(func() { transport.Close(); socket.Close() })
	client := http3ClientWith(t, 6<<20, func(ctx context.Context, addr string, tls *tls.Config, config *quic.Config) (*quic.Conn, error) {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, err
		}
		return transport.Dial(ctx, to, tls, config)
	})
	open(t, client, url)
	close(frozen.frozen)
	const size, n = 200, 5000
	for range n {
		f.put(make([]byte, size))
	}
	f.end()
	if err := f.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("closed with %v", err)
	}
	// The window of congestion begins with 40 KB; a batch of 16 KiB and what quic-go keeps come on top.
	if taken := (n - len(f.frames)) * size; taken == 0 || taken > 100_000 {
		t.Errorf("%d bytes were taken", taken)
	}
}
