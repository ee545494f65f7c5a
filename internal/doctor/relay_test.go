package doctor_test

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay passes bytes between clients and a server, each chunk after the time that delay returns. It returns its URL.
func relay(t *testing.T, server string, delay func() time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	pass := func(to, from net.Conn) {
		defer to.Close()
		chunk := make([]byte, 32<<10)
		for {
			n, err := from.Read(chunk)
			if n > 0 {
				<-time.After(delay())
				if _, err := to.Write(chunk[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { pass(upstream, client) })
			all.Go(func() { pass(client, upstream) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// A network whose delays vary is no fault, nor is one that is far away.
func TestNetworks(t *testing.T) {
	t.Parallel()
	between := func(least, most time.Duration) func() time.Duration {
		return func() time.Duration { return least + rand.N(most-least) }
	}
	for name, c := range map[string]struct {
		delay func() time.Duration
		want  []string
	}{
		"jitter":      {between(50*time.Millisecond, 350*time.Millisecond), nil},
		"long jitter": {between(100*time.Millisecond, 600*time.Millisecond), nil},
		"far away":    {between(150*time.Millisecond, 152*time.Millisecond), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			o := f.options()
			o.URL = relay(t, f.URL, c.delay) + "/events"
			r := examine(t, o, append(c.want, here)...)
			for _, u := range r.Unchecked {
				if strings.Contains(u, "not sure") {
					t.Error(u)
				}
			}
		})
	}
}
