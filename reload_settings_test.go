package ssepush_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// via lets the next requests use a protocol: h1, h1-TLS or h2. The latter two need "tls internal".
func (s *site) via(protocol string) {
	s.t.Helper()
	s.reconnect()
	if protocol == "h1" {
		return
	}
	transport := s.client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.ForceAttemptHTTP2 = protocol == "h2"
	waitFor(s.t, "the certificate is there", func() bool {
		resp, err := s.client.Get(s.url + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// overAll runs a test on each protocol.
func overAll(t *testing.T, test func(t *testing.T, protocol, tls string)) {
	for protocol, tls := range map[string]string{"h1": "", "h1-TLS": "tls internal\n", "h2": "tls internal\n"} {
		t.Run(protocol, func(t *testing.T) { test(t, protocol, tls) })
	}
}

// publishSurely publishes over new connections until there is an answer: a reload may cut one off.
func (s *site) publishSurely(data string) error {
	body := `{"user": "u1", "data": "` + data + `"}`
	for deadline := time.Now().Add(limit); ; {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		r := s.request(ctx, "POST", "/_sse/publish", strings.NewReader(body), []string{"Content-Type", "application/json", "Idempotency-Key", data})
		resp, err := s.client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		cancel()
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			return nil
		case err == nil:
			return fmt.Errorf("got status %d", resp.StatusCode)
		case time.Now().After(deadline):
			return err
		}
	}
}

// Ten reloads under load lose nothing and double nothing.
func TestReloadsUnderLoad(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		settings := []string{"heartbeat 20s", "limits {\npending 1KiB\n}", "history {\nevents 20000\n}", "topics more", "write_timeout 30s"}
		sites := serveAll(t, tls+route("hub main"))
		s := sites[0]
		s.via(protocol)
		var clients []*client
		for range 5 {
			c := s.open("/events?userId=u1&topic=room")
			c.passPositions = true
			clients = append(clients, c)
		}
		publisher := s.in(t)
		publisher.via(protocol)
		var stop atomic.Bool
		var count atomic.Int64
		published := make(chan int, 1)
		go func() {
			n := 0
			for ; !stop.Load(); n++ {
				if err := publisher.publishSurely(strconv.Itoa(n)); err != nil {
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
				for e := range c.events {
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
		for i := range 10 {
			waitFor(t, "some events more", func() bool { return count.Load() >= int64(i*20) })
			if err := load(sites, tls+route("hub main\n"+settings[i%len(settings)])); err != nil {
				t.Fatal(err)
			}
		}
		stop.Store(true)
		n := <-published
		if err := publisher.publishSurely("last"); err != nil {
			t.Fatal(err)
		}
		for range clients {
			select {
			case err := <-got:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(limit):
				t.Fatalf("waited in vain for the last of %d events", n)
			}
		}
		for _, c := range clients {
			c.close()
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

// What is not granted any more is not heard any more, and the page knows.
func TestNarrowerGrant(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		const tenant = " tenant/{http.request.header.X-Tenant}/*"
		sites := serveAll(t, tls+grants("/events", "room public/* user/{user}/*"+tenant))
		s := sites[0]
		s.via(protocol)
		const topics = "&topic=room&topic=public/a&topic=public/*&topic=user/u1/x&topic=tenant/t/x"
		c := s.open("/events?userId=u1"+topics, "X-Tenant", "t")
		same := s.open("/events?userId=u1&topic=user/u1/x")
		s.publish("topic", "room", "data", "before")
		c.want("before")

		mustLoad(t, sites, tls+grants("/events", "public/a user/{user}/*"+tenant))
		s.via(protocol)
		g := c.wantGap("lost")
		for _, topic := range []string{"room", "public/b", "public/a", "user/u1/x", "tenant/t/x"} {
			s.publish("topic", topic, "data", topic)
		}
		c.want("public/a", "user/u1/x", "tenant/t/x")
		same.want("user/u1/x")
		id := "/_sse/connections/" + c.connected.Connection
		if got := get[struct{ Topics []string }](s, id).Topics; !slices.Equal(got, []string{"public/a", "tenant/t/x", "user/u1/x"}) {
			t.Errorf("subscribed to %v", got)
		}
		s.resume("/events?userId=u1&topic=public/a", g.To).want("public/a")

		// A wider grant changes nothing, and what the request stood for is not known for a new entry.
		mustLoad(t, sites, tls+grants("/events", "** public/a user/{user}/*"+tenant))
		mustLoad(t, sites, tls+grants("/events", "user/{user}/* tenant/{http.request.header.X-Tenant}/**"))
		s.via(protocol)
		c.wantGap("lost")
		for _, topic := range []string{"public/a", "tenant/t/x", "user/u1/x"} {
			s.publish("topic", topic, "data", topic)
		}
		c.want("user/u1/x")
		same.want("user/u1/x")
		if n := get[struct{ Total int }](s, "/_sse/topics").Total; n != 1 {
			t.Errorf("there are %d topics", n)
		}
	})
}

// A request that an old server has begun on is held to the new config too.
func TestNarrowerGrantInMidRequest(t *testing.T) {
	sites := serveAll(t, grants("/events", "room news"))
	s := sites[0]
	body := "userId=u1&topic=room&topic=news"
	conn, reader := s.dial(fmt.Sprintf("POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		formType, len(body), body[:5]))
	waitFor(t, "the request is under way", func() bool { return strings.Contains(s.raw("GET /x HTTP/1.0\r\n\r\n").body, "next") })
	if err := load(sites, grants("/events", "news")); err != nil {
		t.Fatal(err)
	}
	s.reconnect()
	if _, err := io.WriteString(conn, body[5:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // closing the body would read to its end
	waitFor(t, "it is connected", func() bool { return get[userCount](s, "/_sse/users/u1").Connections == 1 })
	s.publish("topic", "room", "data", "to the room")
	s.publish("topic", "news", "data", "the news")
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
	overAll(t, func(t *testing.T, protocol, tls string) {
		both := func(first, cors string) string {
			return tls + `sse_push ` + first + ` {
				hub main
				user query userId
				topics room
				` + cors + `
			}
			` + grants("/other", "room")
		}
		sites := serveAll(t, both("/events", "cors_origins https://app.example.com https://b.example.com"))
		s := sites[0]
		s.via(protocol)
		path := "/events?userId=u1&topic=room"
		plain, own := s.open(path), s.open(path, "Origin", s.url)
		a, b := s.listen(path, "Origin", "https://app.example.com"), s.open(path, "Origin", "https://b.example.com")
		other := s.open("/other?topic=room")

		mustLoad(t, sites, both("/events", "cors_origins https://b.example.com"))
		s.via(protocol)
		a.wantRetry(t)
		s.publish("topic", "room", "data", "hello")
		for _, c := range []*client{plain, own, b, other} {
			c.want("hello")
		}

		last := s.listen(path)
		mustLoad(t, sites, both("/elsewhere", ""))
		s.via(protocol)
		for _, c := range []*client{plain, own, b} {
			c.wantEnd()
		}
		last.wantRetry(t)
		s.publish("topic", "room", "data", "still here")
		other.want("still here")
		waitFor(t, "only one is left", func() bool { return get[struct{ Total int }](s, "/_sse/connections").Total == 1 })
	})
}

// A config that fails to start takes nothing from anybody.
func TestFailedReloadNarrowsNothing(t *testing.T) {
	sites := serveAll(t, grants("/events", "room"))
	s := sites[0]
	c := s.open("/events?userId=u1&topic=room")
	for _, body := range []string{grants("/events", "news"), grants("/elsewhere", "room")} {
		if err := load(sites, body+"\n@m expression `no(`\nrespond @m 200"); err == nil {
			t.Fatal("it did not fail")
		}
		waitFor(t, "what was begun is undone", func() bool { return listeners(t, s.addr) == 1 })
		s.reconnect()
		s.publish("topic", "room", "data", "hello")
		c.want("hello")
	}
}
