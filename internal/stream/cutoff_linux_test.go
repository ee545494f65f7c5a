package stream_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// eachWay runs a test on every way in which a stream is served. start serves the source, and returns a client and the URL.
func eachWay(t *testing.T, timing *stream.Timing, test func(t *testing.T, start func(*feed) (*http.Client, string))) {
	ways := map[string]func(*testing.T, *feed) (*http.Client, string){
		"h3": func(t *testing.T, f *feed) (*http.Client, string) {
			return http3Client(t), http3Holder(t, timing, func(*http.Request) *feed { return f })
		},
	}
	for _, kind := range []string{"plain", "tls", "wrapped"} {
		ways["held "+kind] = func(t *testing.T, f *feed) (*http.Client, string) {
			s := holder(t, kind, timing, func(*http.Request) *feed { return f })
			return s.Client(), s.URL
		}
	}
	for _, protocol := range []string{"h1", "h1-TLS", "h2"} {
		ways["served "+protocol] = func(t *testing.T, f *feed) (*http.Client, string) {
			s := server(t, protocol, timing, func(*http.Request) *feed { return f })
			return s.Client(), s.URL
		}
	}
	for name, start := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(f *feed) (*http.Client, string) { return start(t, f) })
		})
	}
}

// A source that ends with an error has its response cut off, so that its client does not take it for whole.
func TestCutOff(t *testing.T) {
	eachWay(t, held, func(t *testing.T, start func(*feed) (*http.Client, string)) {
		f := newFeed()
		f.broken = errors.New("broken")
		client, url := start(f)
		f.put([]byte("hello"))
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
		f.end()
		if rest, err := io.ReadAll(resp.Body); err == nil || len(rest) > 0 {
			t.Errorf("got %q and the end, want an error", rest)
		}
		if reason := f.wait(t); !errors.Is(reason, f.broken) {
			t.Errorf("closed with %v", reason)
		}
	})
}

// A source without heartbeats gets nothing into its silence, and goes on.
func TestNoHeartbeat(t *testing.T) {
	eachWay(t, stream.NewTiming(250*time.Millisecond, time.Minute), func(t *testing.T, start func(*feed) (*http.Client, string)) {
		f := newFeed()
		f.mute = make(chan struct{})
		client, url := start(f)
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for range 2 {
			select {
			case <-f.mute:
			case <-time.After(limit):
				t.Fatal("waited in vain to be asked for a heartbeat")
			}
		}
		f.put([]byte("hello"))
		f.end()
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		f.wait(t)
	})
}
