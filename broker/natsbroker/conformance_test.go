package natsbroker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

func TestConformance(t *testing.T) {
	h := harness(current(t))
	brokertest.Run(t, h)
	hubtest.Run(t, h)
}

// The server that distributions have is older. Cases that do not depend on the server run on the current one only.
func TestConformanceOfInstalled(t *testing.T) {
	t.Parallel()
	h := harness(installed(t))
	h.Crowded = true
	brokertest.Run(t, h)
	hubtest.RunFaults(t, h)
}

func BenchmarkBroker(b *testing.B) {
	h := harness(current(b))
	brokertest.Bench(b, h)
	hubtest.Bench(b, h)
}

func harness(binary string) brokertest.Harness {
	return brokertest.Harness{
		Shared: true, Keeps: true,
		Addr: "127.0.0.1", Engine: new(server), Trim: func(testing.TB, int) {}, // replaced in each case, as these
		Full: func(testing.TB) func() { return nil }, Put: func(testing.TB, []byte) {}, Later: func(testing.TB, time.Duration) {},
		Fresh: func(t testing.TB) brokertest.Harness { return fresh(t, binary) },
	}
}

// fresh returns a harness on a server of its own.
func fresh(t testing.TB, binary string) brokertest.Harness {
	s := start(t, binary, "")
	h := harness(binary)
	h.Addr, h.Engine = s.addr(), s
	h.Open = func(t testing.TB, p *brokertest.Proxy) broker.Broker {
		url := s.url()
		if p != nil {
			url = "nats://" + p.Addr()
		}
		return natsbroker.Open("hub", natsbroker.Options{Servers: []string{url}})
	}
	h.Ahead = func(t testing.TB, p *brokertest.Proxy, d time.Duration) broker.Broker {
		b := h.Open(t, p)
		natsbroker.Skew(b, d)
		return b
	}
	h.Trim = func(t testing.TB, keep int) {
		stream := s.stream(t, "sse_push-hub")
		option := jetstream.WithPurgeKeep(uint64(keep))
		if keep == 0 {
			option = jetstream.WithPurgeSequence(stream.CachedInfo().State.LastSeq + 1)
		}
		if err := stream.Purge(t.Context(), option); err != nil {
			t.Fatal(err)
		}
	}
	h.Full, h.Put, h.Size = s.fill, s.put, s.bytes
	var aged time.Duration
	h.Later = func(t testing.TB, d time.Duration) {
		aged += d
		s.shorten(t, max(natsbroker.KeyWindow-aged, 100*time.Millisecond))
	}
	return h
}

// change gives the stream another configuration.
func (s *server) change(t testing.TB, change func(*jetstream.StreamConfig)) {
	c := s.stream(t, "sse_push-hub").CachedInfo().Config
	change(&c)
	if _, err := s.admin(t).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// fill fills the stream. A limit below what it holds would make some servers trim it, and publishers may be at work: the limit is
// set above that, and other messages take the rest.
func (s *server) fill(t testing.TB) (again func()) {
	var most int64
	held := int64(s.stream(t, "sse_push-hub").CachedInfo().State.Msgs)
	s.change(t, func(c *jetstream.StreamConfig) {
		most, c.MaxMsgs, c.Discard = c.MaxMsgs, held+500, jetstream.DiscardNew
	})
	js := s.admin(t)
	brokertest.Eventually(t, "the stream to be full", func() bool {
		for range 100 {
			if _, err := js.Publish(t.Context(), "sse_push.hub.events", nil); err != nil {
				return true
			}
		}
		return false
	})
	return func() {
		s.change(t, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = most, jetstream.DiscardOld })
	}
}

// put publishes as a node does.
func (s *server) put(t testing.TB, stored []byte) { s.publish(t, "o-"+nuid.Next(), stored) }

func (s *server) publish(t testing.TB, id string, stored []byte) (repeated bool) {
	ack, err := s.admin(t).Publish(t.Context(), "sse_push.hub.events", stored, jetstream.WithMsgID(id))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Duplicate
}

// shorten has the server forget ids that are older than a window.
func (s *server) shorten(t testing.TB, window time.Duration) {
	s.publish(t, "probe", nil)
	s.change(t, func(c *jetstream.StreamConfig) { c.Duplicates = window })
	if window < time.Second { // what the suite has stored is older than the probe
		tries := 0
		brokertest.Eventually(t, "an id to be forgotten", func() bool {
			if tries++; tries%200 == 0 { // the server may have looked just before: a change has it look again
				window += time.Millisecond
				s.change(t, func(c *jetstream.StreamConfig) { c.Duplicates = window })
			}
			return !s.publish(t, "probe", nil)
		})
	}
}

// bytes returns how many bytes of the disk the stream takes.
func (s *server) bytes(t testing.TB) int64 {
	return int64(s.stream(t, "sse_push-hub").CachedInfo().State.Bytes)
}
