package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// When the process ends, clients go one by one, each with a time of its own to come back after.
func TestDrainOnExit(t *testing.T) {
	const clients = 1000
	p := sitetest.StartProcess(t, sitetest.Route("limits {\nconnections off\nper_user off\n}"), "h1", 0, nil)
	var all []*sitetest.Listener
	for range clients {
		all = append(all, p.Listen("/events?userId=u1"))
	}
	begun := time.Now()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the first has gone", func() bool {
		return slices.ContainsFunc(all, func(l *sitetest.Listener) bool {
			select {
			case <-l.Done:
				return true
			default:
				return false
			}
		})
	})
	// A client that comes now is rejected softly.
	late := p.Stream(http.MethodGet, "/events?userId=u1", "", "Accept", "text/event-stream")
	if m := late.Next(); m.Type != "sse:rejected" || m.Data != `{"reason":"draining"}` || late.Retry < time.Second {
		t.Errorf("got %q, retry %s", m, late.Retry)
	}
	late.WantEnd()
	p.HTTP.CloseIdleConnections() // a server waits some seconds for connections that were never used
	select {
	case err := <-p.Exited:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(sitetest.Limit):
		t.Fatal("it did not end")
	}
	took := time.Since(begun)
	var back []time.Duration
	var last time.Time
	for _, l := range all {
		retry := l.WantClosing(t, "draining")
		back = append(back, l.Ended.Sub(begun)+retry)
		if l.Ended.After(last) {
			last = l.Ended
		}
	}
	slices.Sort(back)
	t.Logf("%d clients; the last left after %s, it ended after %s; they come back between %s and %s, half of them between %s and %s", clients,
		last.Sub(begun), took, back[0], back[clients-1], back[clients/4], back[clients*3/4])
	if took < 2*time.Second || took > sitetest.Limit/2 {
		t.Errorf("it ended after %s, want about 3s", took)
	}
	if spread := back[clients*9/10] - back[clients/10]; spread < 2*time.Second {
		t.Errorf("most come back within %s", spread)
	}
	for i := range back[:clients-clients/4] {
		if d := back[i+clients/4] - back[i]; d < 250*time.Millisecond {
			t.Fatalf("a quarter of them come back within %s", d)
		}
	}
}

// On every protocol, with or without a grace period, the process waits for its streams, and for nothing else.
func TestExit(t *testing.T) {
	t.Parallel()
	for _, protocol := range append(slices.Clone(sitetest.Protocols), sitetest.HTTP3) {
		for _, grace := range []string{"", "2m"} {
			for _, drain := range []string{"drain 0s", "drain 1h"} {
				t.Run(fmt.Sprintf("%s, grace %q, %s", protocol.Name, grace, drain), func(t *testing.T) {
					t.Parallel()
					p := sitetest.StartProcess(t, protocol.TLS+sitetest.Route(drain), protocol.Name, 0, func(http map[string]any) {
						if grace != "" {
							http["grace_period"] = grace
						}
					})
					var all []*sitetest.Listener
					for i := range 20 {
						all = append(all, p.Listen(fmt.Sprintf("/events?userId=u%d", i)))
					}
					p.Terminate()
					for _, l := range all {
						if retry := l.WantClosing(t, "draining"); retry < time.Second || retry > 5*time.Second {
							t.Errorf("got retry %s", retry)
						}
					}
				})
			}
		}
	}
}

// With all descriptors used up, those that are connected hear what comes, and when some leave others can connect.
func TestDescriptorsAreUsedUp(t *testing.T) {
	const files = 100
	p := sitetest.StartProcess(t, sitetest.Route("limits {\nconnections off\nper_user off\n}"), "h1", files, nil)
	publisher := p.In(t)
	publisher.Reconnect()
	publisher.Publish("user", "u1", "data", "this connection stays open")
	var all []*sitetest.Client
	for c := tryOpen(p.Site); c != nil; c = tryOpen(p.Site) {
		if all = append(all, c); len(all) > files {
			t.Fatalf("%d are connected", len(all))
		}
	}
	if len(all) < files/3 {
		t.Errorf("only %d could connect", len(all))
	}
	publisher.Publish("user", "u1", "data", "hello")
	for _, c := range all {
		c.Want("hello")
	}
	for _, c := range all[:20] {
		c.Close()
	}
	brokertest.Eventually(t, "another can connect", func() bool {
		c := tryOpen(p.Site)
		if c != nil {
			publisher.Publish("connection", c.Connected.Connection, "data", "welcome")
			c.Want("welcome")
		}
		return c != nil
	})
	publisher.Publish("user", "u1", "data", "still here")
	for _, c := range all[20:] {
		c.Want("still here")
	}
	if !strings.Contains(p.Log(), "limits: connections: the process may open 100 files") {
		t.Error("the log has no warning")
	}
	brokertest.Eventually(t, "the log says so", func() bool { return strings.Contains(p.Log(), "too many open files") })
	p.Terminate()
}

// tryOpen subscribes, if there is a descriptor left for it.
func tryOpen(s *sitetest.Site) *sitetest.Client {
	s.T.Helper()
	c, err := s.TryStream(5*time.Second, http.MethodGet, "/events?userId=u1", "")
	if err != nil {
		return nil
	}
	select {
	case e := <-c.Events:
		if e.Type == "sse:connected" && json.Unmarshal([]byte(e.Data), &c.Connected) == nil {
			return c
		}
	case <-time.After(sitetest.Limit):
	}
	c.Close()
	return nil
}
