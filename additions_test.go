package ssepush_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Topics that an app has added are those of a client's next connection as well, if it says who it is (?client=).
func TestAddedTopicsComeBack(t *testing.T) {
	for name, call := range map[string]func(c *client) string{
		"connection": func(c *client) string { return "connections/" + c.connected.Connection + "/topics" },
		"user":       func(*client) string { return "users/u1/topics" },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, route(""))
			target := "/events?userId=u1&topic=room&client=" + clientName
			c := s.open(target)
			s.steer("POST", call(c), url.Values{"topic": {"orders/42", "jobs/*"}}.Encode())
			c.wantTopics("jobs/*", "orders/42", "room")
			s.publish("topic", "orders/42", "data", "1")
			c.want("1")
			c.close()
			for range 2 {
				s.publish("topic", "orders/42", "data", "2")
				s.publish("topic", "jobs/7", "data", "3")
				s.publish("topic", "room", "data", "4")
				c = s.resume(target, c.id)
				if !slices.Equal(c.connected.Topics, []string{"jobs/*", "orders/42", "room"}) {
					t.Errorf("connected: got topics %q", c.connected.Topics)
				}
				c.want("2", "3", "4")
				c.close()
			}
			s.steer("DELETE", call(c)+"/orders/42", "") // while the client is away
			s.publish("topic", "orders/42", "data", "secret")
			s.publish("topic", "jobs/7", "data", "5")
			c = s.resume(target, c.id)
			if !slices.Equal(c.connected.Topics, []string{"jobs/*", "room"}) {
				t.Errorf("connected: got topics %q", c.connected.Topics)
			}
			c.want("5")
			s.steer("DELETE", "connections/"+c.connected.Connection, "") // what was added ends with the connection
			c.wantEnd()
			s.publish("topic", "jobs/7", "data", "secret")
			s.publish("topic", "room", "data", "6")
			s.resume(target, c.id).want("6")
		})
	}
}

// A client without a name of its own has what it asks for, and nothing else.
func TestAddedTopicsOfAnonymousConnections(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1&topic=room")
	s.steer("POST", "users/u1/topics", "topic=orders/42")
	c.wantTopics("orders/42", "room")
	s.publish("topic", "orders/42", "data", "1")
	c.want("1")
	c.close()
	s.publish("topic", "orders/42", "data", "not for the next one")
	s.publish("topic", "room", "data", "2")
	s.resume("/events?userId=u1&topic=room", c.id).want("2")
}

// They come back over a restart, where the log does.
func TestAddedTopicsComeBackAfterARestart(t *testing.T) {
	body := route("hub main\nclient_key " + strings.Repeat("client-key-", 4) + "\nbroker file " + logDir(t))
	target := "/events?userId=u1&client=" + clientName
	s := serve(t, body)
	c := s.open(target)
	s.steer("POST", "users/u1/topics", "topic=orders/42")
	c.wantTopics("orders/42")
	s.publish("topic", "orders/42", "data", "1")
	c.want("1")
	last := c.id
	c.close()
	s.publish("topic", "orders/42", "data", "2")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	serve(t, body).resume(target, last).want("2")
}
