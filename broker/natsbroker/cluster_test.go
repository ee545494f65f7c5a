package natsbroker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
)

// cluster starts three servers.
func cluster(t testing.TB, binary string) (servers []*server) {
	routes := []int{brokertest.Port(t), brokertest.Port(t), brokertest.Port(t)}
	for i := range routes {
		s := &server{binary: binary, dir: t.TempDir(), port: brokertest.Port(t)}
		s.config = fmt.Sprintf(`server_name: "n%d"
cluster { name: "c", listen: "127.0.0.1:%d", routes: ["nats://127.0.0.1:%d", "nats://127.0.0.1:%d", "nats://127.0.0.1:%d"] }`,
			i, routes[i], routes[0], routes[1], routes[2])
		servers = append(servers, s)
		s.Start(t)
		t.Cleanup(func() { s.Kill(t) })
	}
	return servers
}

// The stream's leader is killed under load, again and again: all nodes see one sequence, and in it all that was
// acknowledged, once and where it was said to be.
func TestClusterLosesItsLeader(t *testing.T) {
	inTurn(t, func(t *testing.T, binary string) {
		servers := cluster(t, binary)
		var urls []string
		for _, s := range servers {
			urls = append(urls, s.url())
		}
		var nodes []*natsbroker.Broker
		var sinks []*sink
		for range 3 {
			b := open(t, "h", natsbroker.Options{Servers: urls, Replicas: 3})
			nodes, sinks = append(nodes, b), append(sinks, tail(t, b))
		}
		for _, s := range sinks {
			s.well(t)
		}
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex // guards acked and unsure
		acked, unsure := map[string]broker.Position{}, map[string]bool{}
		var publishers sync.WaitGroup
		for i, b := range nodes {
			publishers.Go(func() {
				for n := 0; ctx.Err() == nil; n += 5 {
					var group []broker.Record
					for j := range 5 {
						group = append(group, event(fmt.Sprintf("%d/%06d", i, n+j)))
					}
					short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					results := b.Append(short, group)
					cancel()
					mu.Lock()
					for j, r := range results {
						switch name := fmt.Sprintf("%d/%06d", i, n+j); {
						case r.Err == nil:
							acked[name] = r.Position
						case errors.Is(r.Err, broker.ErrUnknownOutcome):
							unsure[name] = true
						}
					}
					mu.Unlock()
				}
			})
		}
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(acked)
		}
		for range 3 {
			before := count()
			brokertest.Eventually(t, "publishes", func() bool { return count() > before+200 })
			var leader string
			// Two of three make a quorum, so the one that was killed has to be back first.
			brokertest.Eventually(t, "a leader, and two that follow", func() bool {
				info := servers[0].stream(t, "sse_push-h").CachedInfo()
				if info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
					return false
				}
				leader = info.Cluster.Leader
				return leader != "" && info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
			})
			killed := servers[leader[1]-'0']
			killed.Kill(t)
			before = count()
			brokertest.Eventually(t, "publishes without "+leader, func() bool { return count() > before+200 })
			killed.Start(t)
		}
		stop()
		publishers.Wait()
		end := put(t, nodes[0], "end")
		for i, s := range sinks {
			brokertest.Eventually(t, "the end", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.entries) > 0 && s.entries[len(s.entries)-1].Position == end
			})
			seen := map[string]bool{}
			last := map[string]string{}
			for j, e := range s.entries {
				name := string(e.Record.Data)
				if e.Record.Kind == broker.Hole {
					t.Errorf("node %d: a hole at %s", i, e.Position)
					continue
				}
				if name != "end" && (seen[name] || acked[name] != e.Position && !unsure[name]) {
					t.Errorf("node %d: %s at %s, acknowledged at %s, seen before: %t", i, name, e.Position, acked[name], seen[name])
				}
				seen[name] = true
				if p := sinks[0].entries[j].Position; p != e.Position {
					t.Fatalf("node %d has %s where node 0 has %s", i, e.Position, p)
				}
				if by, _, _ := strings.Cut(name, "/"); !unsure[name] {
					if name < last[by] {
						t.Errorf("node %d: %s after %s", i, name, last[by])
					}
					last[by] = name
				}
			}
			for name := range acked {
				if !seen[name] {
					t.Errorf("node %d: %s was acknowledged and is not there", i, name)
				}
			}
		}
		t.Logf("%d acknowledged, %d unknown", len(acked), len(unsure))
	})
}
