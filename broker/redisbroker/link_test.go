package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Every caller gets the answer to its own command, although there are more than a link takes at once, and some give up.
func TestLinkManyCallers(t *testing.T) {
	t.Parallel()
	l := linkTo(t, engine{addresses: []string{start(t).addr}})
	var all sync.WaitGroup
	var answered atomic.Int32
	for i := range 3 * depth {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			want := strings.Repeat("x", i%500) + fmt.Sprint(i)
			for range 3 {
				got, err := redis.String(l.do(ctx, "ECHO", want))
				if err == nil {
					answered.Add(1)
				}
				if err != nil && i%3 != 0 || err == nil && got != want {
					t.Errorf("got %q, want %q; %v", got, want, err)
				}
			}
		})
	}
	all.Wait()
	if n := answered.Load(); n < 6*depth {
		t.Errorf("%d were answered", n)
	}
}

// The error of a command that could not be sent says so, and why.
func TestLinkUnsent(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := linkTo(t, engine{addresses: []string{s.addr}})
	s.Kill(t)
	refused := func(ctx context.Context) error {
		t.Helper()
		_, err := l.do(ctx, "ECHO", "x")
		var op *net.OpError
		if !unsent(err) || !errors.As(err, &op) {
			t.Errorf("got %v", err)
		}
		return err
	}
	refused(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := refused(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up in the queue: %v", err)
	}
	s.Start(t)
	brokertest.Eventually(t, "the link is back", func() bool {
		got, err := redis.String(l.do(t.Context(), "ECHO", "x"))
		return err == nil && got == "x"
	})
	s.Kill(t)
	brokertest.Eventually(t, "it notices while nothing is sent", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.wire == nil
	})
	refused(t.Context())
}

// A command that was sent and not answered may have been run. The next one is sent again.
func TestLinkBreaks(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(command string) string {
		switch command {
		case "HANG UP":
			return ""
		case "TALK":
			return "+1\r\n+2\r\n"
		}
		return "+OK\r\n"
	})
	l := linkTo(t, engine{addresses: []string{f.addr}})
	if _, err := l.do(t.Context(), "HANG", "UP"); err == nil || unsent(err) || notStored(err) {
		t.Errorf("the connection has broken: %v", err)
	}
	if got, err := l.do(t.Context(), "TALK"); err != nil || got != "1" {
		t.Errorf("got %v, %v", got, err)
	}
	brokertest.Eventually(t, "who says too much is hung up on", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return errors.Is(l.why, errUnasked)
	})
	if got, err := l.do(t.Context(), "FINE"); err != nil || got != "OK" {
		t.Errorf("after it: %v, %v", got, err)
	}
}

// One that is given up does not keep the next one waiting.
func TestLinkDrop(t *testing.T) {
	t.Parallel()
	l := linkTo(t, engine{addresses: []string{start(t).addr}})
	ctx, cancel := context.WithCancel(t.Context())
	blocked := l.start(ctx, "BLPOP", "nothing", 0)
	brokertest.Eventually(t, "it is sent", func() bool { return blocked.state.Load() == sent })
	cancel()
	if _, err := l.wait(ctx, blocked); !errors.Is(err, context.Canceled) || unsent(err) {
		t.Errorf("got %v", err)
	}
	l.drop()
	began := time.Now()
	if _, err := l.do(t.Context(), "ECHO", "x"); err != nil || time.Since(began) > silence/2 {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// A server that owes an answer and sends none is given up.
func TestLinkSilent(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(command string) string {
		if command == "NEVER" {
			return "*" // the beginning of an answer
		}
		return "+OK\r\n"
	})
	l := linkTo(t, engine{addresses: []string{f.addr}})
	if _, err := l.do(t.Context(), "NEVER"); !errors.Is(err, errSilent) || notStored(err) {
		t.Errorf("got %v", err)
	}
	if got, err := l.do(t.Context(), "FINE"); err != nil || got != "OK" {
		t.Errorf("after it: %v, %v", got, err)
	}
}
