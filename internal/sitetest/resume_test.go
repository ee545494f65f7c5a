package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestResume(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	const target = "/events?userId=u1&topic=room"
	data := sitetest.Numbered(60, 4000)
	c := s.Open(target)
	s.PublishEach(sitetest.ToU1, data[:3]...)
	c.Want(data[:3]...)
	c.Close()
	s.PublishEach(sitetest.ToU2, "not for u1")
	s.PublishEach(sitetest.ToU1, data[3:30]...)
	s.PublishEach(`"topic": "room"`, data[30:]...)

	// Cut off in the middle of catching up, also before the first event, and at the end.
	id, have := c.LastID, 3
	for _, upTo := range []int{3, 4, 31, 59, 60, 60} {
		c := s.Resume(target, id)
		if c.LastID != id {
			t.Errorf("connected: got id %q, want %q", c.LastID, id)
		}
		c.Want(data[have:upTo]...)
		id, have = c.LastID, upTo
		c.Close()
	}
	c = s.Resume(target, id)
	s.Publish("user", "u1", "data", "live")
	c.Want("live")
}

// Ids come back in order, and each one names its place.
func TestIDs(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	var ids []string
	for _, own := range []string{"", "order-1", "a~b", "ü"} {
		fields := []string{"user", "u1", "data", own}
		if own != "" {
			fields = append(fields, "id", own)
		}
		position := s.Publish(fields...)
		want := position
		if own != "" {
			want += "~" + own
		}
		c.Want(own)
		if c.LastID != want || strings.Contains(position, "~") || url.QueryEscape(position) != position {
			t.Errorf("got id %q, want %q", c.LastID, want)
		}
		ids = append(ids, c.LastID)
	}
	rest := []string{"order-1", "a~b", "ü"}
	for i, id := range ids {
		s.Resume("/events?userId=u1", id).Want(rest[i:]...)
		s.Open("/events?userId=u1&last_event_id=" + url.QueryEscape(id)).Want(rest[i:]...)
	}
	position, _, _ := strings.Cut(ids[1], "~")
	s.Resume("/events?userId=u1", position+"~something else").Want(rest[1:]...)
	s.Open("/events?userId=u1&last_event_id="+ids[0], "Last-Event-ID", ids[1]).Want(rest[1:]...) // the header wins
	s.Open("/events?userId=u1&last_event_id=&replay=1").Want(rest[2:]...)
}

func TestReplay(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	data := sitetest.Numbered(5, 0)
	for _, d := range data {
		s.Publish("user", "u1", "data", d)
		s.Publish("user", "u2", "data", "not for u1")
	}
	for n, want := range map[string][]string{"2": data[3:], "5": data, "2147483647": data, "0": nil, "": nil} {
		c := s.Open("/events?userId=u1&replay=" + n)
		from := c.LastID
		c.Want(want...)
		s.Publish("connection", c.Connected.Connection, "data", "live")
		c.Want("live")
		s.Resume("/events?userId=u1", from).Want(want...) // connected says where the stream continues from
	}
	c := s.Open("/events?userId=u1&replay=5&topic=room", "Last-Event-ID", s.Publish("topic", "room", "data", "resumed here"))
	s.Publish("user", "u1", "data", "live")
	c.Want("live") // replay is for new clients
}

// A bad id is no error, or EventSource would give up for good.
func TestUnknownLastEventID(t *testing.T) {
	s := sitetest.ServeAll(t, sitetest.Route("hub main"), sitetest.Route("hub other"))
	foreign := s[1].Publish("user", "u1", "data", "in another hub")
	data := sitetest.Numbered(3, 0)
	ids := s[0].PublishEach(sitetest.ToU1, data...)
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
			s := s[0].In(t)
			header, query := s.Resume("/events?userId=u1", id), s.Open("/events?userId=u1&last_event_id="+url.QueryEscape(id))
			for _, c := range []*sitetest.Client{header, query} {
				if c.LastID != "" {
					t.Errorf("connected: got id %q before the gap", c.LastID)
				}
				g := c.WantGap("unknown")
				c.Want(data...) // all that there is
				again := s.Resume("/events?userId=u1", g.To)
				again.Want(data...)
				again.Close()
				c.Close()
			}
		})
	}
}

// A gap is said where something that matches is gone, and only there.
func TestTrimmed(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("history {\nevents 10\n}"))
	start := s.Open("/events?userId=quiet&topic=room").LastID
	data := sitetest.Numbered(30, 0)
	toQuiet := s.Publish("user", "quiet", "data", "once")
	ids := s.PublishEach(sitetest.ToU1, data...)

	for target, id := range map[string]string{"/events?userId=quiet": toQuiet, "/events?userId=stranger": start, "/events?topic=room": start} {
		c := s.Resume(target, id)
		if c.LastID != id {
			t.Errorf("%s: got id %q, want %q", target, c.LastID, id)
		}
		c.PassPositions = true
		s.Publish("connection", c.Connected.Connection, "data", "live")
		c.Want("live")
	}
	c := s.Resume("/events?userId=quiet", start) // from before the one event
	c.PassPositions = true
	if g := c.WantGap("trimmed"); g.From != start {
		t.Errorf("got %+v, want it to be from %q", g, start)
	}
	s.Publish("user", "quiet", "data", "live")
	c.Want("live")
	s.PublishEach(sitetest.ToU1, data...)
	busy := s.Resume("/events?userId=u1", ids[4])
	if g := busy.WantGap("trimmed"); g.From != ids[4] {
		t.Errorf("got %+v, want it to be from %q", g, ids[4])
	}
	complete := busy.LastID
	busy.Want(data[20:]...)
	s.Resume("/events?userId=u1", complete).Want(data[20:]...)
}

// A client that hears nothing on a busy hub gets a newer id, so that it can come back.
func TestPositionEvent(t *testing.T) {
	for name, more := range map[string]string{
		"by others' traffic": "heartbeat 1s\nhistory {\nevents 10\n}",
		"by time":            "heartbeat 1s\nhistory {\nage 1s\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, sitetest.Route(more))
			c := s.Open("/events?userId=u1")
			before := c.LastID
			var m sitetest.Event
			brokertest.Eventually(t, "a newer id", func() bool {
				s.PublishEach(sitetest.ToU2, sitetest.Numbered(12, 0)...)
				select {
				case m = <-c.Events:
					return true
				default:
					return false
				}
			})
			if m.Type != "sse:position" || m.Data != "{}" || m.ID == before || m.ID == "" {
				t.Fatalf("got %q", m.Message)
			}
			c.Close()
			c = s.Resume("/events?userId=u1", m.ID)
			c.PassPositions = true
			s.Publish("user", "u1", "data", "live")
			c.Want("live")
		})
	}
}

// A page that was left out of an event of a batch is not given it when it reconnects.
func TestExcludedOfABatch(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	for _, order := range [][]string{{"all", "others"}, {"others", "all"}, {"others", "all", "others"}, {"others"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			s := s.In(t)
			c := s.Open("/events?userId=u1")
			other := s.Open("/events?userId=u1")
			var batch []map[string]any
			for _, data := range order {
				e := map[string]any{"user": "u1", "data": data}
				if data == "others" {
					e["exclude"] = []string{c.Connected.Connection}
				}
				batch = append(batch, e)
			}
			body, err := json.Marshal(batch)
			if err != nil {
				t.Fatal(err)
			}
			a := s.Do("POST", "/_sse/publish", string(body), "Content-Type", "application/json")
			var stored []struct{ ID string }
			if err := json.Unmarshal([]byte(a.Body), &stored); err != nil || len(stored) != len(order) {
				t.Fatalf("got %d %s", a.Status, a.Body)
			}
			other.Want(order...)
			for c.LastID != stored[len(order)-1].ID {
				if m := c.Next(); m.Data == "others" {
					t.Fatalf("got %q", m)
				}
			}
			c.Close()
			c = s.Resume("/events?userId=u1", c.LastID)
			s.Publish("user", "u1", "data", "later")
			c.Want("later")
			c.Close()
			other.Close()
		})
	}
}
