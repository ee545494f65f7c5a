package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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

// mercureNode is a node of a Mercure hub on Redis.
func mercureNode(t *testing.T, port, redis string) *harness.Caddy {
	t.Helper()
	return harness.StartCaddy(t, `{
	default_bind 127.0.0.1
}
http://:`+port+` {
	sse_push {
		broker redis redis://127.0.0.1:`+redis+`
		retry 500ms
		mercure {
			publisher_jwt "`+mercureKey+`"
			subscriber_jwt "`+mercureKey+`"
		}
	}
}
`)
}

// mercureFollower is an EventSource of a Mercure hub: it listens to all books and to what is about a user, and may hear what is private
// to its own user.
type mercureFollower struct {
	url, token string

	mu     sync.Mutex // guards what follows
	lastID string
	opened bool
	heard  map[string]int // how often, by data
	gaps   []string
}

func (f *mercureFollower) follow(ctx context.Context) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		f.listen(ctx, &client)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// listen reads one stream to its end.
func (f *mercureFollower) listen(ctx context.Context, client *http.Client) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	f.mu.Lock()
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	f.mu.Unlock()
	res, err := client.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return
	}
	f.mu.Lock()
	f.opened = true
	f.mu.Unlock()
	reader := sse.NewReader(res.Body, 0)
	for {
		m, err := reader.Next()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.lastID = reader.LastEventID()
		switch {
		case m.Type == "sse:gap":
			f.gaps = append(f.gaps, m.Data)
		case !strings.HasPrefix(m.Type, "sse:"):
			f.heard[m.Data]++
		}
		f.mu.Unlock()
	}
}

// Three nodes of a Mercure hub behind a load balancer, one of which is killed: every subscriber hears all that was acknowledged and that it
// may hear, and is told of no gap. An update may come twice, as a publisher that gets no answer publishes again.
func TestMercureClusterLosesNothing(t *testing.T) {
	t.Parallel()
	redis := harness.Port(t)
	harness.StartRedis(t, harness.Dir(t), redis)
	var nodes []*harness.Caddy
	var hubs, addresses []string
	for range 3 {
		port := harness.Port(t)
		nodes = append(nodes, mercureNode(t, port, redis))
		addresses = append(addresses, "127.0.0.1:"+port)
		hubs = append(hubs, "http://127.0.0.1:"+port+"/.well-known/mercure")
	}
	front := serve(t, `
	reverse_proxy `+strings.Join(addresses, " ")+` {
		lb_policy round_robin
		lb_try_duration 5s
		fail_duration 5s
	}`)

	const crowdSize = 60
	ctx, leave := context.WithCancel(context.Background())
	t.Cleanup(leave)
	topics := url.Values{"topic": {"https://x.example/books/{id}", "https://x.example/users/{id}"}}
	var followers []*mercureFollower
	for i := range crowdSize {
		f := &mercureFollower{
			url: front + "/.well-known/mercure?" + topics.Encode(), heard: map[string]int{},
			token: mercureToken(t, map[string][]string{"subscribe": {fmt.Sprintf("https://x.example/users/%d", i)}}),
		}
		followers = append(followers, f)
		go f.follow(ctx)
	}
	all := func(what string, condition func(*mercureFollower) bool) {
		t.Helper()
		for _, f := range followers {
			brokertest.Eventually(t, what, func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return condition(f)
			})
		}
	}
	all("all are connected", func(f *mercureFollower) bool { return f.opened })

	publisher := mercureToken(t, map[string][]string{"publish": {"*"}})
	// publish publishes by any node that takes it.
	publish := func(first int, fields url.Values) {
		deadline := time.Now().Add(harness.Patience)
		for i := first; time.Now().Before(deadline); i++ {
			req, err := http.NewRequest(http.MethodPost, hubs[i%len(hubs)], strings.NewReader(fields.Encode()))
			if err != nil {
				panic(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Authorization", "Bearer "+publisher)
			if res, err := harness.Client.Do(req); err == nil {
				_ = res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return
				}
			}
			<-time.After(20 * time.Millisecond)
		}
		t.Errorf("no node took %v", fields)
	}

	var mu sync.Mutex // guards what follows
	var public []string
	private := map[int][]string{} // by the follower who may hear it
	var over atomic.Bool
	var writers sync.WaitGroup
	for node := range nodes {
		writers.Go(func() {
			for i, more := 0, 20; more > 0; i++ {
				if over.Load() {
					more--
				}
				data, user := fmt.Sprintf("%d of %d", i, node), (i*7+node)%crowdSize
				update := url.Values{"topic": {fmt.Sprintf("https://x.example/books/%d", i)}, "data": {data}}
				if i%2 == 0 {
					update.Set("id", "urn:x:"+strings.ReplaceAll(data, " ", "-"))
				}
				publish(node, update)
				publish(node, url.Values{"topic": {fmt.Sprintf("https://x.example/users/%d", user)}, "data": {"own " + data}, "private": {"on"}})
				mu.Lock()
				public, private[user] = append(public, data), append(private[user], "own "+data)
				mu.Unlock()
			}
		})
	}
	brokertest.Eventually(t, "some is published", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(public) > 10
	})
	nodes[0].Signal(syscall.SIGKILL)
	nodes[0].Wait(t)
	over.Store(true)
	writers.Wait()
	publish(1, url.Values{"topic": {"https://x.example/books/last"}, "data": {"the last"}})
	all("the last", func(f *mercureFollower) bool { return f.heard["the last"] > 0 })

	for i, f := range followers {
		f.mu.Lock()
		for _, data := range append(private[i], public...) {
			if f.heard[data] == 0 {
				t.Errorf("follower %d has not heard %q", i, data)
			}
			delete(f.heard, data)
		}
		delete(f.heard, "the last")
		if len(f.heard) > 0 || len(f.gaps) > 0 {
			t.Errorf("follower %d has heard %v, which is not for it, and was told of gaps %v", i, f.heard, f.gaps)
		}
		f.mu.Unlock()
	}
}
