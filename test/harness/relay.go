package harness

import (
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// StartJitter starts a relay that passes bytes on to an address, and delays each chunk that comes back by another time between
// least and most, as a mobile network does. It returns the relay's address.
func StartJitter(t testing.TB, address string, least, most time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:"+Port(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go jitter(near, address, least, most)
		}
	}()
	return l.Addr().String()
}

func jitter(near net.Conn, address string, least, most time.Duration) {
	defer near.Close()
	far, err := net.DialTimeout("tcp", address, Patience)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(far, near)
		far.Close() // the client has left
	}()
	type chunk struct {
		bytes []byte
		due   time.Time
	}
	underway := make(chan chunk, 100)
	go func() {
		defer close(underway)
		for {
			b := make([]byte, 4<<10)
			n, err := far.Read(b)
			if n > 0 {
				underway <- chunk{b[:n], time.Now().Add(least + rand.N(most-least))}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range underway {
		time.Sleep(time.Until(c.due))
		if _, err := near.Write(c.bytes); err != nil {
			far.Close()
		}
	}
}
