package sitetest_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Topics that an app has added are those of a client's next connection as well, if it says who it is (?client=).
func TestAddedTopicsComeBack(t *testing.T) {
	for name, call := range map[string]func(c *sitetest.Client) string{
		"connection": func(c *sitetest.Client) string { return "connections/" + c.Connected.Connection + "/topics" },
		"user":       func(*sitetest.Client) string { return "users/u1/topics" },
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, sitetest.Route(""))
			target := "/events?userId=u1&topic=room&client=" + clientName
			c := s.Open(target)
			steer(s, "POST", call(c), url.Values{"topic": {"orders/42", "jobs/*"}}.Encode())
			wantTopics(c, "jobs/*", "orders/42", "room")
			s.Publish("topic", "orders/42", "data", "1")
			c.Want("1")
			c.Close()
			for range 2 {
				s.Publish("topic", "orders/42", "data", "2")
				s.Publish("topic", "jobs/7", "data", "3")
				s.Publish("topic", "room", "data", "4")
				c = s.Resume(target, c.LastID)
				if !slices.Equal(c.Connected.Topics, []string{"jobs/*", "orders/42", "room"}) {
					t.Errorf("connected: got topics %q", c.Connected.Topics)
				}
				c.Want("2", "3", "4")
				c.Close()
			}
			steer(s, "DELETE", call(c)+"/orders/42", "") // while the client is away
			s.Publish("topic", "orders/42", "data", "secret")
			s.Publish("topic", "jobs/7", "data", "5")
			c = s.Resume(target, c.LastID)
			if !slices.Equal(c.Connected.Topics, []string{"jobs/*", "room"}) {
				t.Errorf("connected: got topics %q", c.Connected.Topics)
			}
			c.Want("5")
			steer(s, "DELETE", "connections/"+c.Connected.Connection, "") // what was added ends with the connection
			c.WantClosing("disconnected")
			s.Publish("topic", "jobs/7", "data", "secret")
			s.Publish("topic", "room", "data", "6")
			s.Resume(target, c.LastID).Want("6")
		})
	}
}

// A client without a name of its own has what it asks for, and nothing else.
func TestAddedTopicsOfAnonymousConnections(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1&topic=room")
	steer(s, "POST", "users/u1/topics", "topic=orders/42")
	wantTopics(c, "orders/42", "room")
	s.Publish("topic", "orders/42", "data", "1")
	c.Want("1")
	c.Close()
	s.Publish("topic", "orders/42", "data", "not for the next one")
	s.Publish("topic", "room", "data", "2")
	s.Resume("/events?userId=u1&topic=room", c.LastID).Want("2")
}

// They come back over a restart, where the log does.
func TestAddedTopicsComeBackAfterARestart(t *testing.T) {
	body := sitetest.Route("hub main\nclient_key " + strings.Repeat("client-key-", 4) + "\nbroker file " + logDir(t))
	target := "/events?userId=u1&client=" + clientName
	s := sitetest.Serve(t, body)
	c := s.Open(target)
	steer(s, "POST", "users/u1/topics", "topic=orders/42")
	wantTopics(c, "orders/42")
	s.Publish("topic", "orders/42", "data", "1")
	c.Want("1")
	last := c.LastID
	c.Close()
	s.Publish("topic", "orders/42", "data", "2")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	sitetest.Serve(t, body).Resume(target, last).Want("2")
}
