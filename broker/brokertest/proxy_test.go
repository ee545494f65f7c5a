package brokertest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, p *brokertest.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends n bytes, and returns how many come back within a time, and why it ends.
func say(t *testing.T, c net.Conn, n int, within time.Duration) (int, error) {
	t.Helper()
	_, _ = c.Write(bytes.Repeat([]byte{'x'}, n))
	_ = c.SetReadDeadline(time.Now().Add(within))
	return io.ReadFull(c, make([]byte, n))
}

const (
	soon = 30 * time.Second       // for what must happen
	bit  = 100 * time.Millisecond // for what must not
)

func TestProxy(t *testing.T) {
	p := brokertest.NewProxy(t, echo(t))
	works := func(c net.Conn) {
		t.Helper()
		if n, err := say(t, c, 100_000, soon); err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	silent := func(c net.Conn) {
		t.Helper()
		if n, err := say(t, c, 10, bit); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v, want silence", n, err)
		}
	}
	ended := func(c net.Conn, want int) {
		t.Helper()
		if n, err := say(t, c, 100, soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || n != want {
			t.Fatalf("%d bytes, %v, want an end after %d", n, err, want)
		}
	}

	c := dial(t, p)
	works(c)
	p.Cut()
	ended(c, 0)

	c = dial(t, p)
	works(c)
	p.CutAfter(7)
	ended(c, 7)

	c = dial(t, p)
	works(c)
	p.HalfOpen()
	silent(c)
	c = dial(t, p)
	works(c)

	p.Freeze()
	silent(c)
	p.Thaw()
	_ = c.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatalf("what was held back: %v", err)
	}
	works(c)

	p.Delay(bit)
	start := time.Now()
	if _, err := say(t, c, 1, soon); err != nil || time.Since(start) < bit {
		t.Fatalf("%v after %s", err, time.Since(start))
	}
	p.Delay(0)
	works(c)

	p.Down()
	ended(c, 0)
	ended(dial(t, p), 0)
	p.Up()
	works(dial(t, p))
}
