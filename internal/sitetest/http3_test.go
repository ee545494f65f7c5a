package sitetest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// serveHTTP3 starts a site for HTTP/3. The second value is the same site for publishers, over HTTP/1.
func serveHTTP3(t *testing.T, body string) (s, publisher *sitetest.Site) {
	t.Helper()
	s = sitetest.ServeWith(t, "protocols h3\n", sitetest.HTTP3.TLS+body)[0]
	s.Over("h3")
	publisher = s.In(t)
	publisher.Via("h1-TLS")
	return s, publisher
}

// Streams over HTTP/3 are taken over, and are like any others: they resume, are limited and counted.
func TestHTTP3(t *testing.T) {
	s, publisher := serveHTTP3(t, sitetest.Route("hub main\nlimits {\nper_user 3\n}")+sitetest.Metrics)
	open := func(n int) {
		t.Helper()
		wantMetrics(publisher, map[string]float64{
			`sse_push_connections{hub="main",mode="held",protocol="h3"}`:      float64(n),
			`sse_push_connections{hub="main",mode="goroutine",protocol="h3"}`: 0,
		})
	}
	first, second := s.Open("/events?userId=u1"), s.Open("/events?userId=u1")
	posted := s.Stream("POST", "/events", "userId=u1&topic=room", "Content-Type", sitetest.FormType, "Accept", "text/event-stream").Begin()
	if first.Proto != 3 || posted.Proto != 3 {
		t.Fatalf("got HTTP/%d and HTTP/%d", first.Proto, posted.Proto)
	}
	open(3)
	if kind := s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").Next().Type; kind != "sse:rejected" {
		t.Errorf("a fourth connection got %s", kind)
	}
	start := first.LastID
	large := strings.Repeat("large", 10_000)
	publisher.PublishEach(sitetest.ToU1, "a", large, "b")
	for _, c := range []*sitetest.Client{first, second, posted} {
		c.Want("a", large, "b")
	}
	publisher.Publish("topic", "room", "data", "c")
	posted.Want("c")
	second.Close()
	open(2)
	s.Resume("/events?userId=u1", start).Want("a", large, "b")
	s.Resume("/events?userId=u2", "of another hub").WantGap("unknown")
	first.Close()
	posted.Close()
	open(2)
	s.HTTP.CloseIdleConnections()
}

// A reload keeps streams, and gives them its settings.
func TestHTTP3Reload(t *testing.T) {
	body := func(heartbeat string) string {
		return sitetest.HTTP3.TLS + sitetest.Route("hub main\nheartbeat "+heartbeat)
	}
	sites := sitetest.ServeWith(t, "protocols h3\n", body("4s"))
	s := sites[0]
	s.Over("h3")
	c := s.Open("/events?userId=u1")
	resp, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, "/events?userId=u2", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 3 {
		sitetest.MustLoad(t, sites, body("1s"))
	}
	s.Via("h1-TLS")
	s.Publish("user", "u1", "data", "after")
	c.Want("after")
	beats := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "\n:\n:\n"); {
		n, err := resp.Body.Read(beats)
		if err != nil {
			t.Fatalf("got %q, %v", text, err)
		}
		text += string(beats[:n])
	}
	s.Over("h3")
	s.Resume("/events?userId=u1", c.LastID)
}

// A stream that ends says why. It is not reset, and its client goes on after what it has heard.
func TestHTTP3Closing(t *testing.T) {
	body := func(path string) string {
		return sitetest.HTTP3.TLS + strings.Replace(trusting("hub main\nuser ticket "+secretA+"\nuser query userId"), "/events", path, 1)
	}
	sites := sitetest.ServeWith(t, "protocols h3\n", body("/events"))
	s := sites[0]
	s.Over("h3")
	publisher := s.In(t)
	publisher.Via("h1-TLS")
	c := s.Open("/events?userId=u1")
	denied, reloaded := s.Listen("/events?userId=u2"), s.Listen("/events?userId=u3")
	expired := s.Listen("/events?ticket=" + ticketFor("u4", 3*time.Second))
	publisher.Publish("user", "u1", "data", "before")
	c.Want("before")
	steer(publisher, "DELETE", "users/u1", "")
	c.WantClosing("disconnected")
	publisher.Publish("user", "u1", "data", "meanwhile")
	s.Resume("/events?userId=u1", c.LastID).Want("meanwhile")
	steer(publisher, "DELETE", "users/u2?deny=10m", "")
	denied.WantClosing(t, "denied")
	expired.WantClosing(t, "expired")
	sitetest.MustLoad(t, sites, body("/elsewhere"))
	reloaded.WantClosing(t, "reloaded")
}

// A reload whose grace period is over cuts streams. They leave nothing, and miss nothing when they come back.
func TestHTTP3GracePeriod(t *testing.T) {
	body := func(more string) string { return sitetest.HTTP3.TLS + sitetest.Route("hub main\n"+more) }
	sites := sitetest.ServeWith(t, "protocols h3\n", body(""))
	s := sites[0]
	config, err := sitetest.Adapt(sites, body(""))
	if err != nil {
		t.Fatal(err)
	}
	const servers = `"http":{"servers"`
	short := strings.Replace(string(config), servers, `"http":{"grace_period":100000000,"servers"`, 1)
	if short == string(config) {
		t.Fatalf("the config no longer holds %s: %s", servers, config)
	}
	if err := sitetest.LoadConfig(sites, []byte(short)); err != nil {
		t.Fatal(err)
	}
	s.Over("h3")
	c := s.Open("/events?userId=u1")
	sitetest.MustLoad(t, sites, body("heartbeat 1s"))
	c.WantEnd()
	s.Via("h1-TLS")
	brokertest.Eventually(t, "nobody is left", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 0 })
	s.Publish("user", "u1", "data", "meanwhile")
	s.Over("h3")
	s.Resume("/events?userId=u1", c.LastID).Want("meanwhile")
}

// A client that reads nothing is given up after the timeout. Others of its connection hear what comes.
func TestHTTP3SlowClient(t *testing.T) {
	s, publisher := serveHTTP3(t, sitetest.Crowded("", "", "write_timeout 1s"))
	resp, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, "/events?userId=slow", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	c := s.Open("/events?userId=u1")
	connected := func() bool { return sitetest.Get[userCount](publisher, "/_sse/users/slow").Connections == 1 }
	if !connected() {
		t.Fatal("it is not connected")
	}
	data := strings.Repeat("x", 500_000)
	brokertest.Eventually(t, "it is given up", func() bool {
		publisher.Publish("user", "slow", "data", data)
		publisher.Publish("user", "u1", "data", "tick")
		c.Want("tick")
		return !connected()
	})
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream seems to have ended by itself")
	}
}
