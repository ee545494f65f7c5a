package redisbroker

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

func TestConformance(t *testing.T) {
	h := harness(start(t))
	brokertest.Run(t, h)
	hubtest.Run(t, h)
}

func BenchmarkBroker(b *testing.B) {
	h := harness(start(b))
	brokertest.Bench(b, h)
	hubtest.Bench(b, h)
}

func harness(s *server) brokertest.Harness {
	through := func(p *brokertest.Proxy) func(*Options) {
		return func(o *Options) {
			if p != nil {
				o.URL = "redis://" + p.Addr()
			}
		}
	}
	return brokertest.Harness{
		Open: func(t testing.TB, p *brokertest.Proxy) broker.Broker { return s.node(t, through(p)) },
		Ahead: func(t testing.TB, p *brokertest.Proxy, d time.Duration) broker.Broker {
			b := s.node(t, through(p))
			b.clock.Skew = d
			return b
		},
		Addr: s.addr, Shared: true, Keeps: true, Engine: s, Trim: s.trim,
		Full: s.fill, Put: s.put, Later: s.later, ClockBack: s.clockBack, Size: s.memory,
		Fresh: func(t testing.TB) brokertest.Harness { return harness(start(t)) },
	}
}

// fill leaves Redis no memory for new entries.
func (s *server) fill(t testing.TB) (again func()) {
	s.do(t, "CONFIG", "SET", "maxmemory", "1")
	return func() { s.do(t, "CONFIG", "SET", "maxmemory", "0") }
}

// put appends as a node does.
func (s *server) put(t testing.TB, stored []byte) {
	s.do(t, "XADD", keysOf("h").log, "*", fieldRecord, string(stored), fieldBy, "another version")
}

// later makes the idempotency keys older.
func (s *server) later(t testing.TB, d time.Duration) {
	keys, err := redis.Strings(s.do(t, "KEYS", keysOf("h").prefix+"key:*"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		left, err := redis.Int64(s.do(t, "PTTL", k), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.do(t, "PEXPIRE", k, strconv.FormatInt(left-d.Milliseconds(), 10)) // at once, where it is not above 0
	}
}

// clockBack appends an entry with a later time, so that the clock has gone back from there.
func (s *server) clockBack(t testing.TB, d time.Duration) {
	s.do(t, "XADD", keysOf("h").log, fmt.Sprintf("%d-0", time.Now().Add(d).UnixMilli()), "user", "nobody", "data", "x")
}

// memory returns how many bytes the stream takes.
func (s *server) memory(t testing.TB) int64 {
	n, err := redis.Int64(s.do(t, "MEMORY", "USAGE", keysOf("h").log, "SAMPLES", "0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
