package ssepush_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const toU1, toU2 = `"user": "u1"`, `"user": "u2"`

// resume comes back as an EventSource does.
func (s *site) resume(target, id string) *client {
	s.t.Helper()
	return s.open(target, "Last-Event-ID", id)
}

// publishEach sends an event for each of the data, in one request, and returns their ids.
func (s *site) publishEach(target string, data ...string) (ids []string) {
	s.t.Helper()
	var body strings.Builder
	for _, d := range data {
		fmt.Fprintf(&body, "{%s, \"data\": %q}\n", target, d)
	}
	a := s.do("POST", "/_sse/publish", body.String(), "Content-Type", "application/x-ndjson")
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list) != len(data) {
		s.t.Fatalf("publish: got %d %.500s", a.status, a.body)
	}
	for _, item := range list {
		ids = append(ids, item.ID)
	}
	if slices.Contains(ids, "") {
		s.t.Fatalf("publish: got %.500s", a.body)
	}
	return ids
}

// numbered are data that can be told apart, of some size.
func numbered(n, size int) (data []string) {
	for i := range n {
		data = append(data, fmt.Sprintf("%d %s", i, strings.Repeat("x", size)))
	}
	return data
}

type gap struct {
	Reason, From, To string
	Delay            int64
}

// wantGap takes a gap, and checks what holds for every one.
func (c *client) wantGap(reason string) (g gap) {
	c.t.Helper()
	m := c.next()
	if err := json.Unmarshal([]byte(m.Data), &g); err != nil || m.Type != "sse:gap" || g.Reason != reason {
		c.t.Fatalf("got %q, want a gap: %s", m, reason)
	}
	if m.ID == "" || g.To != m.ID || g.Delay < 0 {
		c.t.Errorf("got gap %q", m)
	}
	return g
}

func TestResume(t *testing.T) {
	s := serve(t, route(""))
	const target = "/events?userId=u1&topic=room"
	data := numbered(60, 4000)
	c := s.open(target)
	s.publishEach(toU1, data[:3]...)
	c.want(data[:3]...)
	c.close()
	s.publishEach(toU2, "not for u1")
	s.publishEach(toU1, data[3:30]...)
	s.publishEach(`"topic": "room"`, data[30:]...)

	// Cut off in the middle of catching up, also before the first event, and at the end.
	id, have := c.id, 3
	for _, upTo := range []int{3, 4, 31, 59, 60, 60} {
		c := s.resume(target, id)
		if c.id != id {
			t.Errorf("connected: got id %q, want %q", c.id, id)
		}
		c.want(data[have:upTo]...)
		id, have = c.id, upTo
		c.close()
	}
	c = s.resume(target, id)
	s.publish("user", "u1", "data", "live")
	c.want("live")
}

// Ids come back in order, and each one names its place.
func TestIDs(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	var ids []string
	for _, own := range []string{"", "order-1", "a~b", "ü"} {
		fields := []string{"user", "u1", "data", own}
		if own != "" {
			fields = append(fields, "id", own)
		}
		position := s.publish(fields...)
		want := position
		if own != "" {
			want += "~" + own
		}
		c.want(own)
		if c.id != want || strings.Contains(position, "~") || url.QueryEscape(position) != position {
			t.Errorf("got id %q, want %q", c.id, want)
		}
		ids = append(ids, c.id)
	}
	rest := []string{"order-1", "a~b", "ü"}
	for i, id := range ids {
		s.resume("/events?userId=u1", id).want(rest[i:]...)
		s.open("/events?userId=u1&last_event_id=" + url.QueryEscape(id)).want(rest[i:]...)
	}
	position, _, _ := strings.Cut(ids[1], "~")
	s.resume("/events?userId=u1", position+"~something else").want(rest[1:]...)
	s.open("/events?userId=u1&last_event_id="+ids[0], "Last-Event-ID", ids[1]).want(rest[1:]...) // the header wins
	s.open("/events?userId=u1&last_event_id=&replay=1").want(rest[2:]...)
}

func TestReplay(t *testing.T) {
	s := serve(t, route(""))
	data := numbered(5, 0)
	for _, d := range data {
		s.publish("user", "u1", "data", d)
		s.publish("user", "u2", "data", "not for u1")
	}
	for n, want := range map[string][]string{"2": data[3:], "5": data, "2147483647": data, "0": nil, "": nil} {
		c := s.open("/events?userId=u1&replay=" + n)
		from := c.id
		c.want(want...)
		s.publish("connection", c.connected.Connection, "data", "live")
		c.want("live")
		s.resume("/events?userId=u1", from).want(want...) // connected says where the stream continues from
	}
	c := s.open("/events?userId=u1&replay=5&topic=room", "Last-Event-ID", s.publish("topic", "room", "data", "resumed here"))
	s.publish("user", "u1", "data", "live")
	c.want("live") // replay is for new clients
}

// A bad id is no error, or EventSource would give up for good.
func TestUnknownLastEventID(t *testing.T) {
	s := serveAll(t, route("hub main"), route("hub other"))
	foreign := s[1].publish("user", "u1", "data", "in another hub")
	data := numbered(3, 0)
	ids := s[0].publishEach(toU1, data...)
	epoch, _, _ := strings.Cut(ids[0], ".")
	bad := map[string]string{
		"another hub's": foreign,
		"of the future": epoch + ".zzzzzz",
		"another epoch": "2s." + strings.TrimPrefix(ids[0], epoch+"."),
		"10 kB":         strings.Repeat("x", 10<<10),
		"10 kB behind":  ids[0] + strings.Repeat("0", 10<<10),
	}
	for _, garbage := range []string{"x", ".", "~", "~" + ids[0], "-1", "0", "../..", "%00", "a b", "\"", "ü", "\xff", "null", ids[0] + "'", strings.ToUpper(ids[0])} {
		bad[fmt.Sprintf("garbage %q", garbage)] = garbage
	}
	for what, id := range bad {
		t.Run(what, func(t *testing.T) {
			s := s[0].in(t)
			header, query := s.resume("/events?userId=u1", id), s.open("/events?userId=u1&last_event_id="+url.QueryEscape(id))
			for _, c := range []*client{header, query} {
				if c.id != "" {
					t.Errorf("connected: got id %q before the gap", c.id)
				}
				g := c.wantGap("unknown")
				c.want(data...) // all that there is
				again := s.resume("/events?userId=u1", g.To)
				again.want(data...)
				again.close()
				c.close()
			}
		})
	}
}

// A gap is said where something that matches is gone, and only there.
func TestTrimmed(t *testing.T) {
	s := serve(t, route("history {\nevents 10\n}"))
	start := s.open("/events?userId=quiet&topic=room").id
	data := numbered(30, 0)
	toQuiet := s.publish("user", "quiet", "data", "once")
	ids := s.publishEach(toU1, data...)

	for target, id := range map[string]string{"/events?userId=quiet": toQuiet, "/events?userId=stranger": start, "/events?topic=room": start} {
		c := s.resume(target, id)
		if c.id != id {
			t.Errorf("%s: got id %q, want %q", target, c.id, id)
		}
		c.passPositions = true
		s.publish("connection", c.connected.Connection, "data", "live")
		c.want("live")
	}
	c := s.resume("/events?userId=quiet", start) // from before the one event
	c.passPositions = true
	if g := c.wantGap("trimmed"); g.From != start {
		t.Errorf("got %+v, want it to be from %q", g, start)
	}
	s.publish("user", "quiet", "data", "live")
	c.want("live")
	s.publishEach(toU1, data...)
	busy := s.resume("/events?userId=u1", ids[4])
	if g := busy.wantGap("trimmed"); g.From != ids[4] {
		t.Errorf("got %+v, want it to be from %q", g, ids[4])
	}
	complete := busy.id
	busy.want(data[20:]...)
	s.resume("/events?userId=u1", complete).want(data[20:]...)
}

// Who hears nothing on a busy hub is given a newer id, so that it can come back.
func TestPositionEvent(t *testing.T) {
	for name, more := range map[string]string{
		"by others' traffic": "heartbeat 1s\nhistory {\nevents 10\n}",
		"by time":            "heartbeat 1s\nhistory {\nage 1s\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, route(more))
			c := s.open("/events?userId=u1")
			before := c.id
			var m event
			waitFor(t, "a newer id", func() bool {
				s.publishEach(toU2, numbered(12, 0)...)
				select {
				case m = <-c.events:
					return true
				default:
					return false
				}
			})
			if m.Type != "sse:position" || m.Data != "{}" || m.ID == before || m.ID == "" {
				t.Fatalf("got %q", m.Message)
			}
			c.close()
			c = s.resume("/events?userId=u1", m.ID)
			c.passPositions = true
			s.publish("user", "u1", "data", "live")
			c.want("live")
		})
	}
}

// A page that was left out of an event of a batch is not given it when it reconnects.
func TestExcludedOfABatch(t *testing.T) {
	s := serve(t, route(""))
	for _, order := range [][]string{{"all", "others"}, {"others", "all"}, {"others", "all", "others"}, {"others"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			s := s.in(t)
			c := s.open("/events?userId=u1")
			other := s.open("/events?userId=u1")
			var batch []map[string]any
			for _, data := range order {
				e := map[string]any{"user": "u1", "data": data}
				if data == "others" {
					e["exclude"] = []string{c.connected.Connection}
				}
				batch = append(batch, e)
			}
			body, err := json.Marshal(batch)
			if err != nil {
				t.Fatal(err)
			}
			a := s.do("POST", "/_sse/publish", string(body), "Content-Type", "application/json")
			var stored []struct{ ID string }
			if err := json.Unmarshal([]byte(a.body), &stored); err != nil || len(stored) != len(order) {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			other.want(order...)
			for c.id != stored[len(order)-1].ID {
				if m := c.next(); m.Data == "others" {
					t.Fatalf("got %q", m)
				}
			}
			c.close()
			c = s.resume("/events?userId=u1", c.id)
			s.publish("user", "u1", "data", "later")
			c.want("later")
			c.close()
			other.close()
		})
	}
}
