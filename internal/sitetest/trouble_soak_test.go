package sitetest_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// soak is a hub on three protocols, with all that happens to one.
type soak struct {
	t     *testing.T
	sites []*sitetest.Site // by protocol
	ctx   context.Context  // done when it is time to end

	visits, published, reloads atomic.Int64
}

// over reports whether it is time to end, at the latest after a while.
func (k *soak) over(pause time.Duration) bool {
	select {
	case <-k.ctx.Done():
		return true
	case <-time.After(pause):
		return k.ctx.Err() != nil
	}
}

// visit is a client's: it comes, new or with the id of its last visit, hears some events, perhaps stands still for a while
// until it is over its budget, and leaves in one of several ways. The id that it returns is the last it had.
func (k *soak) visit(id string) string {
	own, v := k.sites[rand.IntN(len(k.sites))].Apart()
	defer own.HTTP.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(k.ctx, sitetest.Limit)
	defer cancel()
	target := fmt.Sprintf("/events?userId=n%d&topic=room&topic=public/%d", rand.IntN(50), rand.IntN(50))
	headers := []string{"Accept", "text/event-stream"}
	if id != "" {
		headers = append(headers, "Last-Event-ID", id)
	}
	resp, err := own.HTTP.Do(own.Request(ctx, http.MethodGet, target, nil, headers))
	if err != nil {
		return id // a reload has just closed the listener
	}
	defer v.Close()
	defer resp.Body.Close()
	k.visits.Add(1)
	reader := sse.NewReader(resp.Body, 0)
	hear := func(n int) bool {
		for range n {
			m, err := reader.Next()
			if err != nil {
				return false
			}
			id = m.ID
		}
		return true
	}
	if !hear(1 + rand.IntN(30)) {
		return id
	}
	if rand.IntN(3) == 0 {
		v.Freeze()
		if k.over(time.Duration(rand.IntN(1000))*time.Millisecond) || rand.IntN(2) == 0 {
			_ = v.Conn.(*net.TCPConn).SetLinger(0)
			return id
		}
		v.Thaw()
		hear(rand.IntN(50))
	}
	return id
}

// publish sends events to a user, a topic or all.
func (k *soak) publish(s *sitetest.Site) {
	defer s.HTTP.CloseIdleConnections()
	for !k.over(2 * time.Millisecond) {
		to := []string{`"broadcast": true`, fmt.Sprintf(`"user": "n%d"`, rand.IntN(50)), fmt.Sprintf(`"topic": "public/%d"`, rand.IntN(50)), `"topic": "room"`}
		also := []string{"", `, "ttl": 1`, `, "coalesce": "price"`}
		body := fmt.Sprintf(`{%s, "event": "noise", "data": "%s"%s}`, to[rand.IntN(len(to))], strings.Repeat("x", rand.IntN(6000)), also[rand.IntN(len(also))])
		resp, err := s.HTTP.Do(s.Request(k.ctx, http.MethodPost, "/_sse/publish", strings.NewReader(body), []string{"Content-Type", "application/json"}))
		if err != nil {
			continue // a reload has closed the connection
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			k.t.Errorf("publish: got status %d", resp.StatusCode)
		}
		k.published.Add(1)
	}
}

// hear reads a stream to its end, of which every event but the noise has to come, once and in order.
func (k *soak) hear(c *sitetest.Client, n *atomic.Int64) {
	for e := range c.Events {
		switch {
		case e.Type == "noise", e.Type == "sse:position":
		case e.Data == strconv.FormatInt(n.Load(), 10):
			n.Add(1)
		default:
			k.t.Errorf("HTTP/%d: got %.200q, want %d", c.Proto, e.Message, n.Load())
			return
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSoak takes 5 seconds; SSE_PUSH_SOAK=10m makes it longer. Clients come and go, stand still and resume, while events are
// published and configs loaded. Memory does not grow, those who stay hear everything, and at the end nothing is left.
func TestSoak(t *testing.T) {
	length := 5 * time.Second
	if text := os.Getenv("SSE_PUSH_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SSE_PUSH_SOAK: %v", err)
		}
	}
	body := func(tls, heartbeat string) string {
		return sitetest.Crowded(tls, "pending 8KiB", "history {\nevents 500\n}\nwrite_timeout 2s\nheartbeat "+heartbeat)
	}
	const secure = "tls internal\n"
	sites := sitetest.ServeAll(t, body("", "1s"), body(secure, "1s"))
	h2 := sites[1].In(t)
	k := &soak{t: t, sites: []*sitetest.Site{sites[0], sites[1], h2}}
	sites[1].Via("h1-TLS")
	h2.Via("h2")
	before := sites[0].Settled()
	var faithful []*sitetest.Client
	heard := make([]atomic.Int64, len(k.sites))
	for i, s := range k.sites {
		c := s.Open("/events?userId=u1")
		faithful = append(faithful, c)
		go k.hear(c, &heard[i])
	}
	number := int64(0)
	span := func(d time.Duration) (left int64) {
		var cancel context.CancelFunc
		k.ctx, cancel = context.WithTimeout(context.Background(), d)
		defer cancel()
		var working sync.WaitGroup
		for range 16 {
			working.Go(func() {
				for id := ""; !k.over(0); {
					if id = k.visit(id); rand.IntN(2) == 0 {
						id = ""
					}
				}
			})
		}
		for range 2 {
			working.Go(func() {
				s := sites[0].In(t)
				s.HTTP = &http.Client{Transport: &http.Transport{}}
				k.publish(s)
			})
		}
		working.Go(func() {
			s := sites[0].In(t)
			s.HTTP = &http.Client{Transport: &http.Transport{}}
			for ; !k.over(50 * time.Millisecond); number++ {
				if err := s.PublishSurely(strconv.FormatInt(number, 10)); err != nil {
					t.Error(err)
					return
				}
			}
			s.HTTP.CloseIdleConnections()
		})
		working.Go(func() {
			for !k.over(length / 15) {
				heartbeat := fmt.Sprintf("%ds", 1+k.reloads.Add(1)%3)
				if err := sitetest.Load(sites, body("", heartbeat), body(secure, heartbeat)); err != nil {
					t.Error(err)
				}
			}
		})
		working.Wait()
		k.sites[0].HTTP.CloseIdleConnections()
		for _, s := range sites {
			brokertest.Eventually(t, "the old listener is closed", func() bool { return sitetest.Listeners(t, s.Addr) == 1 })
		}
		brokertest.Eventually(t, "the visitors have left", func() bool {
			return sitetest.Get[struct{ Total int }](sites[0], "/_sse/connections").Total == len(faithful)
		})
		return heap()
	}
	third := span(length / 3)
	end := span(length - length/3)
	slow := func() bool { return sites[0].Scrape()[`sse_push_catchups_total{cause="slow",hub="main"}`] > 0 }
	for range 12 { // a busy machine publishes too little for that
		if slow() {
			break
		}
		end = span(length)
	}
	t.Logf("%d visits, %d events and %d reloads in %s; heap %d KiB after a third, %d KiB at the end", k.visits.Load(), k.published.Load(),
		k.reloads.Load(), length, third>>10, end>>10)
	if end > third*3/2+8<<20 {
		t.Errorf("the heap has grown from %d KiB to %d KiB", third>>10, end>>10)
	}
	if !slow() {
		t.Error("nobody was slow")
	}
	for i, c := range faithful {
		if !brokertest.Until(func() bool { return heard[i].Load() == number }) {
			t.Errorf("HTTP/%d: one who stayed heard %d events of %d", c.Proto, heard[i].Load(), number)
		}
		c.Close()
	}
	sites[1].HTTP.CloseIdleConnections()
	h2.HTTP.CloseIdleConnections()
	sites[0].WantNothingLeft(before)
}
