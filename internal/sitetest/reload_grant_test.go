package sitetest_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Reloads under load lose nothing and double nothing.
func TestReloadsUnderLoad(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		settings := []string{"heartbeat 20s", "limits {\npending 1KiB\n}", "history {\nevents 20000\n}", "topics more", "write_timeout 30s"}
		sites := sitetest.ServeAll(t, tls+sitetest.Route("hub main"))
		s := sites[0]
		s.Via(protocol)
		var clients []*sitetest.Client
		for range 5 {
			c := s.Open("/events?userId=u1&topic=room")
			c.PassPositions = true
			clients = append(clients, c)
		}
		publisher := s.In(t)
		publisher.Via(protocol)
		var stop atomic.Bool
		var count atomic.Int64
		published := make(chan int, 1)
		go func() {
			n := 0
			for ; !stop.Load(); n++ {
				if err := publisher.PublishSurely(strconv.Itoa(n)); err != nil {
					t.Error(err)
					break
				}
				count.Add(1)
			}
			published <- n
		}()
		got := make(chan error, len(clients))
		for _, c := range clients {
			go func() {
				want := 0
				for e := range c.Events {
					switch {
					case e.Data == "last":
						got <- nil
						return
					case e.Data == strconv.Itoa(want):
						want++
					case e.Type != "sse:position":
						got <- fmt.Errorf("got %q, want %d", e.Message, want)
						return
					}
				}
				got <- fmt.Errorf("the stream has ended behind %d", want-1)
			}()
		}
		for i := range settings {
			brokertest.Eventually(t, "some events more", func() bool { return count.Load() >= int64(i*20) })
			if err := sitetest.Load(sites, tls+sitetest.Route("hub main\n"+settings[i])); err != nil {
				t.Fatal(err)
			}
		}
		stop.Store(true)
		n := <-published
		if err := publisher.PublishSurely("last"); err != nil {
			t.Fatal(err)
		}
		for range clients {
			select {
			case err := <-got:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(sitetest.Limit):
				t.Fatalf("waited in vain for the last of %d events", n)
			}
		}
		for _, c := range clients {
			c.Close()
		}
	})
}

// grants is a directive with a grant, and nothing else that could differ.
func grants(path, topics string) string {
	return `sse_push ` + path + ` {
		hub main
		user query userId
		anonymous
		topics ` + topics + `
	}
	sse_push {
		hub main
		internal /_sse {
			allow loopback
		}
	}
	respond "next"`
}

// What is no longer granted is no longer delivered, and the page is told.
func TestNarrowerGrant(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		const tenant = " tenant/{http.request.header.X-Tenant}/*"
		sites := sitetest.ServeAll(t, tls+grants("/events", "room public/* user/{user}/*"+tenant))
		s := sites[0]
		s.Via(protocol)
		const topics = "&topic=room&topic=public/a&topic=public/*&topic=user/u1/x&topic=tenant/t/x"
		c := s.Open("/events?userId=u1"+topics, "X-Tenant", "t")
		same := s.Open("/events?userId=u1&topic=user/u1/x")
		s.Publish("topic", "room", "data", "before")
		c.Want("before")

		sitetest.MustLoad(t, sites, tls+grants("/events", "public/a user/{user}/*"+tenant))
		s.Via(protocol)
		g := c.WantGap("lost")
		for _, topic := range []string{"room", "public/b", "public/a", "user/u1/x", "tenant/t/x"} {
			s.Publish("topic", topic, "data", topic)
		}
		c.Want("public/a", "user/u1/x", "tenant/t/x")
		same.Want("user/u1/x")
		id := "/_sse/connections/" + c.Connected.Connection
		if got := sitetest.Get[struct{ Topics []string }](s, id).Topics; !slices.Equal(got, []string{"public/a", "tenant/t/x", "user/u1/x"}) {
			t.Errorf("subscribed to %v", got)
		}
		s.Resume("/events?userId=u1&topic=public/a", g.To).Want("public/a")

		// A wider grant changes nothing, and what the request stood for is not known for a new entry.
		sitetest.MustLoad(t, sites, tls+grants("/events", "** public/a user/{user}/*"+tenant))
		sitetest.MustLoad(t, sites, tls+grants("/events", "user/{user}/* tenant/{http.request.header.X-Tenant}/**"))
		s.Via(protocol)
		c.WantGap("lost")
		for _, topic := range []string{"public/a", "tenant/t/x", "user/u1/x"} {
			s.Publish("topic", topic, "data", topic)
		}
		c.Want("user/u1/x")
		same.Want("user/u1/x")
		if n := sitetest.Get[struct{ Total int }](s, "/_sse/topics").Total; n != 1 {
			t.Errorf("there are %d topics", n)
		}
	})
}

// The new config applies to a request that the old server has begun on.
func TestNarrowerGrantInMidRequest(t *testing.T) {
	sites := sitetest.ServeAll(t, grants("/events", "room news"))
	s := sites[0]
	body := "userId=u1&topic=room&topic=news"
	conn, reader := s.Dial(fmt.Sprintf("POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		sitetest.FormType, len(body), body[:5]))
	brokertest.Eventually(t, "the request is under way", func() bool { return strings.Contains(s.Raw("GET /x HTTP/1.0\r\n\r\n").Body, "next") })
	if err := sitetest.Load(sites, grants("/events", "news")); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	if _, err := io.WriteString(conn, body[5:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // closing the body would read to its end
	brokertest.Eventually(t, "it is connected", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 1 })
	s.Publish("topic", "room", "data", "to the room")
	s.Publish("topic", "news", "data", "the news")
	text := ""
	for b := make([]byte, 1000); !strings.Contains(text, "the news"); {
		n, err := resp.Body.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b[:n])
	}
	if strings.Contains(text, "to the room") || !strings.Contains(text, `"reason":"lost"`) {
		t.Errorf("got %s", text)
	}
}

// A stream whose route is gone, or whose page may not subscribe any more, is told to come back; others stay.
func TestGoneRoute(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		both := func(first, cors string) string {
			return tls + `sse_push ` + first + ` {
				hub main
				user query userId
				topics room
				` + cors + `
			}
			` + grants("/other", "room")
		}
		sites := sitetest.ServeAll(t, both("/events", "cors_origins https://app.example.com https://b.example.com"))
		s := sites[0]
		s.Via(protocol)
		path := "/events?userId=u1&topic=room"
		plain, own := s.Open(path), s.Open(path, "Origin", s.URL)
		a, b := s.Listen(path, "Origin", "https://app.example.com"), s.Open(path, "Origin", "https://b.example.com")
		other := s.Open("/other?topic=room")

		sitetest.MustLoad(t, sites, both("/events", "cors_origins https://b.example.com"))
		s.Via(protocol)
		a.WantClosing(t, "reloaded")
		s.Publish("topic", "room", "data", "hello")
		for _, c := range []*sitetest.Client{plain, own, b, other} {
			c.Want("hello")
		}

		last := s.Listen(path)
		sitetest.MustLoad(t, sites, both("/elsewhere", ""))
		s.Via(protocol)
		for _, c := range []*sitetest.Client{plain, own, b} {
			c.WantClosing("reloaded")
		}
		last.WantClosing(t, "reloaded")
		s.Publish("topic", "room", "data", "still here")
		other.Want("still here")
		brokertest.Eventually(t, "only one is left", func() bool { return sitetest.Get[struct{ Total int }](s, "/_sse/connections").Total == 1 })
	})
}

// A config that fails to start takes nothing from any client.
func TestFailedReloadNarrowsNothing(t *testing.T) {
	sites := sitetest.ServeAll(t, grants("/events", "room"))
	s := sites[0]
	c := s.Open("/events?userId=u1&topic=room")
	for _, body := range []string{grants("/events", "news"), grants("/elsewhere", "room")} {
		if err := sitetest.Load(sites, body+"\n@m expression `no(`\nrespond @m 200"); err == nil {
			t.Fatal("it did not fail")
		}
		brokertest.Eventually(t, "what was begun is undone", func() bool { return sitetest.Listeners(t, s.Addr) == 1 })
		s.Reconnect()
		s.Publish("topic", "room", "data", "hello")
		c.Want("hello")
	}
}
