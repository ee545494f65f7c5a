package ssepush_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// mustLoad reloads, and has the next requests made over new connections.
func mustLoad(t *testing.T, sites []*site, bodies ...string) {
	t.Helper()
	if err := load(sites, bodies...); err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		s.reconnect()
	}
}

// listeners counts the sockets that listen at an IPv4 address.
func listeners(t *testing.T, addr string) (n int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	const listening = "00000000:0000 0A "
	return strings.Count(string(table), fmt.Sprintf(":%04X %s", number, listening))
}

// A reload drops no stream and loses no event, and the new settings hold.
func TestReload(t *testing.T) {
	sites := serveAll(t, route("hub main"))
	s := sites[0]
	c := s.open("/events?userId=u1&topic=room")
	c.passPositions = true // a history of 5 events ages fast
	s.publish("user", "u1", "data", "before")
	c.want("before")
	away := s.publish("user", "u1", "data", "while away")

	for i, more := range []string{"limits {\nper_user 2\n}", "heartbeat 20s", "history {\nevents 5\n}", "topics news", "cors_origins https://app.example.com"} {
		mustLoad(t, sites, route("hub main\n"+more))
		s.publish("user", "u1", "data", more)
		if i == 0 {
			c.want("while away")
		}
		c.want(more)
		n := s.open("/events?userId=u1")
		n.passPositions = true
		s.publish("topic", "room", "data", "to the room")
		s.publish("broadcast", "1", "data", "to all")
		c.want("to the room", "to all")
		n.want("to all")
		if list := get[connections](s, "/_sse/connections"); list.Total != 2 || list.Connections[0].ID != c.connected.Connection {
			t.Errorf("%s: got %+v", more, list)
		}
		third := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if kind := third.next().Type; (kind == "sse:rejected") != (i == 0) {
			t.Errorf("%s: the user's third connection got %s", more, kind)
		}
		third.close()
		n.close()
		waitFor(t, "they have left", func() bool { return get[userCount](s, "/_sse/users/u1").Connections == 1 })
	}
	if c.id == "" || c.id == away {
		t.Errorf("got id %q", c.id)
	}
	resumed := s.resume("/events?userId=u1", c.id)
	resumed.passPositions = true
	s.publish("user", "u1", "data", "last")
	resumed.want("last")
	c.want("last")
}

// A reload that fails changes nothing, at whatever point it fails.
func TestFailedReload(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	sites := serveAll(t, route("hub main"))
	s := sites[0]
	c := s.open("/events?userId=u1")
	occupied := newSite(t, "")
	occupied.url, occupied.logFile = "http://"+taken.Addr().String(), s.logFile

	const narrow = "\nlimits {\nper_user 1\n}\nhistory {\nevents 1\n}"
	for what, err := range map[string]error{
		"adapting":     load(sites, route("hub main\ncolour red")),
		"provisioning": load(sites, route("hub main"+narrow)+"\n@m expression `no(`\nrespond @m 200"),
		"starting":     load([]*site{s, occupied}, route("hub main"+narrow), "respond taken"),
	} {
		if err == nil {
			t.Fatalf("%s did not fail", what)
		}
		if what == "starting" && !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, s := range sites {
		waitFor(t, "what was begun is undone", func() bool { return listeners(t, s.addr) == 1 })
		s.reconnect()
	}
	before := c.id
	s.publishEach(toU1, "a", "b", "c")
	c.want("a", "b", "c")
	s.resume("/events?userId=u1", before).want("a", "b", "c")
	if n := get[userCount](s, "/_sse/users/u1").Connections; n != 2 {
		t.Errorf("got %d connections", n)
	}
}

// Streams of a hub that is no longer in the config are told to come back, and end. Those of another stay.
func TestHubIsRemoved(t *testing.T) {
	sites := serveAll(t, route("hub main"), route("hub other"))
	gone, stays := sites[0].open("/events?userId=u1"), sites[1].open("/events?userId=u1")
	id := gone.id
	mustLoad(t, sites, `respond "next"`, route("hub other"))
	gone.wantEnd()
	sites[1].publish("user", "u1", "data", "still here")
	stays.want("still here")
	if a := sites[0].do("GET", "/events?userId=u1", ""); a.status != http.StatusOK || a.body != "next" {
		t.Errorf("got %d %s", a.status, a.body)
	}

	// A hub that comes again has no memory of its earlier life, and says so.
	mustLoad(t, sites, route("hub main"), route("hub other"))
	sites[0].resume("/events?userId=u1", id).wantGap("unknown")
}
