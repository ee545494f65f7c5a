package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// follower is a client as EventSource is one: it comes back with its last id whenever its stream ends.
type follower struct {
	url    string
	client http.Client

	mu     sync.Mutex // guards what follows
	lastID string
	heard  []string // data of the app's events
	ours   []string // types of the others, sse:connected and sse:closing left out
	opened int
}

// follow runs a follower until ctx ends.
func follow(ctx context.Context, url string) *follower {
	f := &follower{url: url, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	go func() {
		for ctx.Err() == nil {
			f.listen(ctx)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return f
}

// listen reads one stream to its end.
func (f *follower) listen(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	f.mu.Lock()
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	f.mu.Unlock()
	res, err := f.client.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return
	}
	reader := sse.NewReader(res.Body, 0)
	for {
		m, err := reader.Next()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.lastID = reader.LastEventID()
		switch {
		case m.Type == "sse:connected":
			f.opened++
		case m.Type == "sse:closing":
		case strings.HasPrefix(m.Type, "sse:"):
			f.ours = append(f.ours, m.Type+" "+m.Data)
		default:
			f.heard = append(f.heard, m.Data)
		}
		f.mu.Unlock()
	}
}

func (f *follower) has(data string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heard) > 0 && f.heard[len(f.heard)-1] == data
}

func (f *follower) connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened > 0
}

// crowd is a number of followers, what is published to them, and what they have to hear.
type crowd struct {
	followers []*follower
	nodes     []string // their internal routes

	rounds int
	mu     sync.Mutex       // guards what follows
	stored []string         // data of the acknowledged broadcasts
	own    map[int][]string // and of the others, by the client they are for
}

// gather opens clients, and waits until all of them are connected.
func gather(t *testing.T, url string, n int, nodes ...string) *crowd {
	ctx, leave := context.WithCancel(context.Background())
	t.Cleanup(leave)
	c := &crowd{nodes: nodes, own: map[int][]string{}}
	for i := range n {
		c.followers = append(c.followers, follow(ctx, fmt.Sprintf("%s/events?userId=u%d", url, i)))
	}
	c.all(t, "all are connected", (*follower).connected)
	return c
}

func (c *crowd) all(t *testing.T, what string, condition func(*follower) bool) {
	t.Helper()
	next := 0
	brokertest.Eventually(t, what, func() bool {
		for next < len(c.followers) && condition(c.followers[next]) {
			next++
		}
		return next == len(c.followers)
	})
}

// publish sends an event by any node that takes it; asked again, each is asked for the same one.
func (c *crowd) publish(t *testing.T, first int, event harness.Event) {
	body, err := json.Marshal(event)
	if err != nil {
		t.Error(err)
		return
	}
	deadline := time.Now().Add(harness.Patience)
	for i := first; time.Now().Before(deadline); i++ {
		res, err := harness.Client.Post(c.nodes[i%len(c.nodes)]+"/publish", "application/json", bytes.NewReader(body))
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Errorf("no node took %v", event)
}

// talk publishes by every node at once, until disturb has returned and some more is published after it.
func (c *crowd) talk(t *testing.T, disturb func()) {
	c.rounds++
	var over atomic.Bool
	var writers sync.WaitGroup
	for node := range c.nodes {
		writers.Go(func() {
			for i, more := 0, 20; more > 0; i++ {
				if over.Load() {
					more--
				}
				data, user := fmt.Sprintf("%d of %d in %d", i, node, c.rounds), (i*7+node)%len(c.followers)
				c.publish(t, node, harness.Event{"broadcast": true, "data": data, "idempotency_key": data})
				c.publish(t, node, harness.Event{"user": fmt.Sprintf("u%d", user), "data": "own " + data, "idempotency_key": "own " + data})
				c.mu.Lock()
				c.stored = append(c.stored, data)
				c.own[user] = append(c.own[user], "own "+data)
				c.mu.Unlock()
			}
		})
	}
	disturb()
	over.Store(true)
	writers.Wait()
	last := fmt.Sprintf("the last in %d", c.rounds)
	c.publish(t, 0, harness.Event{"broadcast": true, "data": last, "idempotency_key": last})
	c.stored = append(c.stored, last)
	c.all(t, last, func(f *follower) bool { return f.has(last) })
}

// check holds what each client heard against what was acknowledged: all of it, once, in one order, and no gap.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	var order []string
	for i, f := range c.followers {
		f.mu.Lock()
		heard, ours := f.heard, f.ours
		f.mu.Unlock()
		if len(ours) > 0 {
			t.Fatalf("client %d was told %q", i, ours)
		}
		var all []string
		times := map[string]int{}
		for _, data := range heard {
			times[data]++
			if !strings.HasPrefix(data, "own ") {
				all = append(all, data)
			}
		}
		for _, data := range append(c.own[i], c.stored...) {
			if times[data] != 1 {
				t.Fatalf("client %d heard %q %d times", i, data, times[data])
			}
		}
		if want := len(c.own[i]) + len(c.stored); len(heard) != want {
			t.Fatalf("client %d heard %d events, want %d", i, len(heard), want)
		}
		if order == nil {
			order = all
		}
		for n := range all {
			if all[n] != order[n] {
				t.Fatalf("client %d heard %q where another heard %q", i, all[n], order[n])
			}
		}
	}
}

const crowdSize = 300

// engine is a server behind a hub: to be started, also again, with what it has stored.
type engine struct {
	config string // of a node, in examples/cluster
	url    string // its variable there
	scheme string
	start  func(t testing.TB, dir, port string) *harness.Process
}

var engines = map[string]engine{
	"redis": {"redis.Caddyfile", "REDIS_URL", "redis", harness.StartRedis},
	"nats":  {"nats.Caddyfile", "NATS_URL", "nats", harness.StartNATS},
}

// The example as it is printed: three nodes behind a load balancer. A node is killed, and then the engine.
func TestClusterLosesNothing(t *testing.T) {
	t.Parallel()
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, port := harness.Dir(t), harness.Port(t)
			server := e.start(t, dir, port)
			var nodes []*harness.Caddy
			var routes []string
			balancer := []string{}
			for i := range 3 {
				at := harness.Port(t)
				config := harness.File(t, filepath.Join("examples/cluster", e.config))
				nodes = append(nodes, harness.StartCaddy(t, config, "PORT="+at, e.url+"="+e.scheme+"://127.0.0.1:"+port))
				routes = append(routes, "http://127.0.0.1:"+at+"/_sse")
				balancer = append(balancer, fmt.Sprintf("127.0.0.1:910%d", i+1), "127.0.0.1:"+at)
			}
			front := harness.Port(t)
			balancer = append(balancer, "localhost:8080", "localhost:"+front)
			harness.StartCaddy(t, harness.File(t, "examples/cluster/balancer.Caddyfile", balancer...))
			for _, route := range routes {
				route := harness.Route{URL: route}
				harness.EventuallyEqual(t, "health", http.StatusOK, func() int { return route.Call(t, http.MethodGet, "/health", nil, nil) })
			}

			c := gather(t, "http://localhost:"+front, crowdSize, routes...)
			present := harness.Route{URL: routes[1]}
			harness.EventuallyEqual(t, "users of all nodes", crowdSize, func() int {
				var users struct{ Total int }
				present.Get(t, "/users?limit=1", &users)
				return users.Total
			})
			c.talk(t, func() {
				nodes[0].Signal(syscall.SIGKILL)
				nodes[0].Wait(t)
			})
			c.check(t)

			c.nodes = routes[1:]
			c.talk(t, func() {
				server.Signal(syscall.SIGKILL)
				server.Wait(t)
				server = e.start(t, dir, port)
			})
			c.check(t)
		})
	}
}

// One node with the file broker: killed in the middle, and started again.
func TestNodeLosesNothing(t *testing.T) {
	t.Parallel()
	dir, at := harness.Dir(t), harness.Port(t)
	start := func() *harness.Caddy {
		return harness.StartCaddy(t, harness.File(t, "examples/cluster/file.Caddyfile"), "PORT="+at, "DATA="+dir)
	}
	node := start()
	c := gather(t, "http://127.0.0.1:"+at, crowdSize, "http://127.0.0.1:"+at+"/_sse")
	c.talk(t, func() {
		for range 3 {
			node.Signal(syscall.SIGKILL)
			node.Wait(t)
			node = start()
		}
	})
	c.check(t)
}
