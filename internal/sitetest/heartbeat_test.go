package sitetest_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A reload gives living streams its heartbeat.
func TestReloadChangesHeartbeat(t *testing.T) {
	bodies := func(heartbeat string) (all []string) {
		for _, p := range sitetest.Protocols {
			all = append(all, p.TLS+sitetest.Route("heartbeat "+heartbeat+"\nhub "+p.Name))
		}
		return all
	}
	sites := sitetest.ServeAll(t, bodies("4s")...)
	var streams []*bufio.Reader
	for i, p := range sitetest.Protocols {
		s := sites[i]
		s.Via(p.Name)
		resp, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, "/events?userId=u1", nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		streams = append(streams, bufio.NewReader(resp.Body))
	}
	if err := sitetest.Load(sites, bodies("1s")...); err != nil {
		t.Fatal(err)
	}
	for i, p := range sitetest.Protocols {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			beat := func() time.Time {
				t.Helper()
				for {
					line, err := streams[i].ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if line == ":\n" {
						return time.Now()
					}
				}
			}
			first := beat() // it may have been due under the old one
			if after := beat().Sub(first); after > 3*time.Second {
				t.Errorf("it is silent for %s", after)
			}
		})
	}
}

// A page hears heartbeats if it asks for them, also between events that it may have no listener for.
func TestHeartbeatsThatAPageHears(t *testing.T) {
	t.Parallel()
	s := sitetest.Serve(t, sitetest.Route("heartbeat 1s"))
	for name, next := range map[string]func(i int){
		"idle": func(int) {},
		"busy": func(i int) { s.Publish("user", "busy", "data", strconv.Itoa(i)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := s.Open("/events?heartbeat&userId=" + name)
			c.PassPositions = true
			before, beats := c.LastID, 0
			for i := 0; beats < 3; i++ {
				next(i)
				switch e := c.Next(); e.Type {
				case "sse:heartbeat":
					if beats++; e.Data != `{"next":2000}` {
						t.Fatalf("got %q", e)
					}
					if name == "idle" && c.LastID != before {
						t.Errorf("the last id has become %q", c.LastID)
					}
				case "message":
				default:
					t.Fatalf("got %q", e)
				}
			}
		})
	}
}

// The first of them comes as the stream begins: a page that waits for the next notices a dead connection, however early it died.
func TestFirstHeartbeatComesAtOnce(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("heartbeat 1h"))
	c := s.Open("/events?heartbeat&userId=u1")
	if e := c.Next(); e.Type != "sse:heartbeat" || e.Data != `{"next":7200000}` {
		t.Errorf("got %q", e)
	}
	s.Publish("user", "u1", "data", "1")
	c.Want("1")
}

// A hub's connections are bounded, unless its config says otherwise, by what the process has in all: the internal route
// answers even when every hub is full.
func TestHubsShareTheDescriptors(t *testing.T) {
	t.Parallel()
	const files = 100
	directive := func(hub string) string {
		return `sse_push /` + hub + ` {
			hub ` + hub + `
			anonymous
			user query userId
			internal /_` + hub + ` {
				allow loopback
			}
			limits {
				per_user off
			}
		}
		`
	}
	p := sitetest.StartProcess(t, directive("a")+directive("b"), "h1", files, nil)
	open := func(hub string) bool {
		t.Helper()
		c := p.Stream(http.MethodGet, "/"+hub+"?userId=u1", "", "Accept", "text/event-stream")
		m := c.Next()
		if m.Type == "sse:rejected" && m.Data != `{"reason":"connections"}` {
			t.Fatalf("got %q", m)
		}
		return m.Type == "sse:connected"
	}
	for range files * 2 / 5 {
		if !open("a") || !open("b") {
			t.Fatal("refused before the descriptors are used up")
		}
	}
	if open("a") || open("b") {
		t.Error("more than four fifths of the descriptors are streams")
	}
	for _, hub := range []string{"a", "b"} {
		a := p.Do("POST", "/_"+hub+"/publish", "user=u1&data=hello", "Content-Type", sitetest.FormType)
		if a.Status != http.StatusOK {
			t.Errorf("publishing: got %d %s", a.Status, a.Body)
		}
	}
	p.HTTP.CloseIdleConnections()
	if strings.Contains(p.Log(), "too many open files") {
		t.Error("descriptors are used up")
	}
}
