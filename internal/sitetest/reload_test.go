package sitetest_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A reload drops no stream and loses no event, and the new settings hold.
func TestReload(t *testing.T) {
	sites := sitetest.ServeAll(t, sitetest.Route("hub main"))
	s := sites[0]
	c := s.Open("/events?userId=u1&topic=room")
	c.PassPositions = true // a history of 5 events ages fast
	s.Publish("user", "u1", "data", "before")
	c.Want("before")
	away := s.Publish("user", "u1", "data", "while away")

	for i, more := range []string{"limits {\nper_user 2\n}", "heartbeat 20s", "history {\nevents 5\n}", "topics news", "cors_origins https://app.example.com"} {
		sitetest.MustLoad(t, sites, sitetest.Route("hub main\n"+more))
		s.Publish("user", "u1", "data", more)
		if i == 0 {
			c.Want("while away")
		}
		c.Want(more)
		n := s.Open("/events?userId=u1")
		n.PassPositions = true
		s.Publish("topic", "room", "data", "to the room")
		s.Publish("broadcast", "1", "data", "to all")
		c.Want("to the room", "to all")
		n.Want("to all")
		if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 2 || list.Connections[0].ID != c.Connected.Connection {
			t.Errorf("%s: got %+v", more, list)
		}
		third := s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if kind := third.Next().Type; (kind == "sse:rejected") != (i == 0) {
			t.Errorf("%s: the user's third connection got %s", more, kind)
		}
		third.Close()
		n.Close()
		brokertest.Eventually(t, "they have left", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 1 })
	}
	if c.LastID == "" || c.LastID == away {
		t.Errorf("got id %q", c.LastID)
	}
	resumed := s.Resume("/events?userId=u1", c.LastID)
	resumed.PassPositions = true
	s.Publish("user", "u1", "data", "last")
	resumed.Want("last")
	c.Want("last")
}

// A reload that fails changes nothing, at whatever point it fails.
func TestFailedReload(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	sites := sitetest.ServeAll(t, sitetest.Route("hub main"))
	s := sites[0]
	c := s.Open("/events?userId=u1")
	occupied := sitetest.NewSite(t, "")
	occupied.URL, occupied.LogFile = "http://"+taken.Addr().String(), s.LogFile

	const narrow = "\nlimits {\nper_user 1\n}\nhistory {\nevents 1\n}"
	for what, err := range map[string]error{
		"adapting":     sitetest.Load(sites, sitetest.Route("hub main\ncolour red")),
		"provisioning": sitetest.Load(sites, sitetest.Route("hub main"+narrow)+"\n@m expression `no(`\nrespond @m 200"),
		"starting":     sitetest.Load([]*sitetest.Site{s, occupied}, sitetest.Route("hub main"+narrow), "respond taken"),
	} {
		if err == nil {
			t.Fatalf("%s did not fail", what)
		}
		if what == "starting" && !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, s := range sites {
		brokertest.Eventually(t, "what was begun is undone", func() bool { return sitetest.Listeners(t, s.Addr) == 1 })
		s.Reconnect()
	}
	before := c.LastID
	s.PublishEach(sitetest.ToU1, "a", "b", "c")
	c.Want("a", "b", "c")
	s.Resume("/events?userId=u1", before).Want("a", "b", "c")
	if n := sitetest.Get[userCount](s, "/_sse/users/u1").Connections; n != 2 {
		t.Errorf("got %d connections", n)
	}
}

// Streams of a hub that is no longer in the config are told to come back, and end. Those of another stay.
func TestHubIsRemoved(t *testing.T) {
	sites := sitetest.ServeAll(t, sitetest.Route("hub main"), sitetest.Route("hub other"))
	gone, stays := sites[0].Open("/events?userId=u1"), sites[1].Open("/events?userId=u1")
	id := gone.LastID
	sitetest.MustLoad(t, sites, `respond "next"`, sitetest.Route("hub other"))
	gone.WantClosing("draining")
	sites[1].Publish("user", "u1", "data", "still here")
	stays.Want("still here")
	if a := sites[0].Do("GET", "/events?userId=u1", ""); a.Status != http.StatusOK || a.Body != "next" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}

	// A hub that comes again has no memory of its earlier life, and says so.
	sitetest.MustLoad(t, sites, sitetest.Route("hub main"), sitetest.Route("hub other"))
	sites[0].Resume("/events?userId=u1", id).WantGap("unknown")
}
