package mercure_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// language is one version of the protocol, as a client speaks it.
type language struct {
	name, answer, lastID, cookie string
	param                        func(pattern bool) string     // the parameter of a matcher
	pattern                      func(begin string) string     // a pattern of all topics in a folder
	hears                        func(grants ...string) string // a subscriber's token; a grant that ends in "/+" is a pattern
	publishes                    func() string                 // a publisher's token
}

var languages = []language{
	{
		name: "0.x", answer: "Last-Event-ID", lastID: "lastEventID", cookie: legacyCookie,
		param:   func(bool) string { return "topic" },
		pattern: func(begin string) string { return begin + "{id}" },
		hears: func(grants ...string) string {
			for i, g := range grants {
				if folder, ok := strings.CutSuffix(g, "+"); ok {
					grants[i] = folder + "{id}"
				}
			}
			return legacyToken(legacySubscriber, "subscribe", grants...)
		},
		publishes: func() string { return legacyToken(legacyPublisher, "publish", "*") },
	},
	{
		name: "1.0", answer: "Mercure-Last-Event-ID", lastID: "last_event_id", cookie: cookie,
		param:   func(pattern bool) string { return map[bool]string{true: "match_urlpattern", false: "match"}[pattern] },
		pattern: func(begin string) string { return begin + ":id" },
		hears: func(grants ...string) string {
			var matchers []any
			for _, g := range grants {
				if folder, ok := strings.CutSuffix(g, "+"); ok {
					matchers = append(matchers, claims{"match": folder + ":id", "match_type": "urlpattern"})
				} else {
					matchers = append(matchers, claims{"match": g})
				}
			}
			return accessToken(subscriber, "subscribe", matchers...)
		},
		publishes: func() string { return accessToken(publisher, "publish", "*") },
	},
}

// both runs a test in each version, at a hub of its own that speaks both.
func both(t *testing.T, test func(t *testing.T, c conversation)) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			s := sitetest.Serve(t, "sse_push /events {\nuser query user\ntopics **\ninternal /_sse {\nallow loopback\n}\nmercure {"+bothVersions+"\nanonymous\n}\n}")
			test(t, conversation{t, s, l})
		})
	}
}

// conversation is a test's, with one hub in one version.
type conversation struct {
	t *testing.T
	s *sitetest.Site
	language
}

// publish publishes an update, by names and values in turn, and returns its id.
func (c conversation) publish(fields ...string) string {
	c.t.Helper()
	a := post(c.t, c.s, form(fields...), "Authorization", "Bearer "+c.publishes())
	if a.status != http.StatusOK || a.body == "" {
		c.t.Fatalf("publish: got %d %s", a.status, a.body)
	}
	return a.body
}

// query returns the query of a subscription. A matcher that ends in "/+" is a pattern; one of the form name=value is another parameter.
func (c conversation) query(matchers ...string) string {
	q := url.Values{}
	for _, m := range matchers {
		name, value, is := strings.Cut(m, "=")
		folder, pattern := strings.CutSuffix(m, "+")
		switch {
		case is:
			q.Add(name, value)
		case pattern:
			q.Add(c.param(true), c.pattern(folder))
		default:
			q.Add(c.param(false), m)
		}
	}
	return q.Encode()
}

// listener is a stream, of which the hub's own events are kept apart.
type listener struct {
	*sitetest.Client
	gaps int
}

// hear subscribes.
func (c conversation) hear(query string, headers ...string) *listener {
	c.t.Helper()
	l := &listener{Client: c.s.Stream(http.MethodGet, hub+"?"+query, "", headers...)}
	if l.Status != http.StatusOK {
		c.t.Fatalf("subscribe %s: got status %d", query, l.Status)
	}
	return l
}

// next returns the next update, as type, data and id.
func (l *listener) next() string {
	l.T.Helper()
	for {
		m := l.Next()
		switch {
		case m.Type == "sse:gap":
			l.gaps++
		case strings.HasPrefix(m.Type, "sse:"):
		default:
			return strings.Trim(m.Type+" "+m.Data+" "+m.ID, " ")
		}
	}
}

// wants takes updates, by data and id in turn, and fails if another one comes.
func (l *listener) wants(list ...string) {
	l.T.Helper()
	for i := 0; i < len(list); i += 2 {
		if got, want := l.next(), "message "+list[i]+" "+list[i+1]; got != want {
			l.T.Fatalf("got %q, want %q", got, want)
		}
	}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// A subscriber hears what one of its matchers matches, by whichever topic, and is then not told of it again.
func TestRouting(t *testing.T) {
	both(t, func(t *testing.T, c conversation) {
		exact, pattern, all := c.hear(c.query("https://x/a", "b")), c.hear(c.query("https://x/+", "https://y/+")), c.hear(c.query("*"))
		ids := map[string]string{}
		send := func(data string, topics ...string) {
			t.Helper()
			fields := []string{"data", data}
			for _, topic := range topics {
				fields = append(fields, "topic", topic)
			}
			ids[data] = c.publish(fields...)
		}
		send("exact", "https://x/a")
		send("pattern", "https://x/c")
		send("neither", "https://z/a")
		send("deeper", "https://x/a/b")
		send("several", "https://z/1", "https://y/1", "b", "https://x/a")
		send("no URL", "b")
		want := func(l *listener, list ...string) {
			t.Helper()
			for _, data := range list {
				l.wants(data, ids[data])
			}
		}
		want(exact, "exact", "several", "no URL")
		want(pattern, "exact", "pattern", "several")
		want(all, "exact", "pattern", "neither", "deeper", "several", "no URL")
		send("the last", "https://x/a")
		want(exact, "the last")
		want(pattern, "the last")
	})
}

// A private update is heard by those of its topics that a subscriber is granted, whichever of them it listens to, as it comes and when it is
// replayed. A grant alone makes nobody listen.
func TestPrivate(t *testing.T) {
	both(t, func(t *testing.T, c conversation) {
		const first, last = "urn:first", "urn:last"
		c.publish("topic", "https://x/a", "topic", "https://x/b", "data", "first", "id", first)
		query := c.query("https://x/a", "https://y/+")
		subscribers := map[string][]string{
			"no token":         nil,
			"another grant":    bearer(c.hears("https://x/c")),
			"the topic itself": bearer(c.hears("https://x/a")),
			"the other topic":  bearer(c.hears("https://x/b")),
			"by a pattern":     bearer(c.hears("https://x/+")),
			"the cookie":       {"Cookie", c.cookie + "=" + c.hears("https://x/a")},
			"all":              bearer(c.hears("*")),
		}
		hears := map[string]bool{"the topic itself": true, "the other topic": true, "by a pattern": true, "the cookie": true, "all": true}
		live := map[string]*listener{}
		for name, headers := range subscribers {
			live[name] = c.hear(query, headers...)
		}
		private := c.publish("topic", "https://x/a", "topic", "https://x/b", "data", "private", "private", "")
		c.publish("topic", "https://x/b", "data", "nobody listens", "private", "on")
		others := c.publish("topic", "https://y/1", "data", "another's", "private", "off")
		c.publish("topic", "https://x/a", "data", "last", "id", last)
		check := func(name string, l *listener) {
			t.Helper()
			if hears[name] {
				l.wants("private", private)
			}
			if name == "all" {
				l.wants("another's", others)
			}
			l.wants("last", last)
		}
		for name, l := range live {
			check(name, l)
		}
		for name, headers := range subscribers {
			check(name, c.hear(query, append(headers, "Last-Event-ID", first)...))
		}
	})
}

// A subscriber goes on after any id, by header or parameter, and the answer says whether it does.
func TestResumeInBothVersions(t *testing.T) {
	both(t, func(t *testing.T, c conversation) {
		one := c.publish("topic", "a", "data", "1")
		c.publish("topic", "a", "data", "2", "id", "urn:2")
		three := c.publish("topic", "a", "data", "3")
		c.publish("topic", "a", "data", "4", "id", "urn:2") // again
		c.publish("topic", "other", "data", "not asked for", "id", "urn:other")
		five := c.publish("topic", "a", "data", "5")
		all := []string{"1", one, "2", "urn:2", "3", three, "4", "urn:2", "5", five}
		for _, r := range []struct {
			name, header, param string
			answer              string
			from                int // in all
			gap                 bool
		}{
			{"the hub's id", one, "", one, 2, false},
			{"the publisher's id, which came twice", "urn:2", "", "urn:2", 4, false},
			{"another id of the hub", three, "", three, 6, false},
			{"the id of an update of another topic", "urn:other", "", "urn:other", 8, false},
			{"the last", five, "", five, 10, false},
			{"by parameter", "", one, one, 2, false},
			{"the header wins", three, one, three, 6, false},
			{"earliest", "earliest", "", "earliest", 0, false},
			{"earliest by parameter", "", "earliest", "earliest", 0, false},
			{"unknown", "urn:unknown", "", "earliest", 0, true},
			{"nothing", "", "", "", -1, false},
		} {
			var headers []string
			query := c.query("a")
			if r.header != "" {
				headers = []string{"Last-Event-ID", r.header}
			}
			if r.param != "" {
				query += "&" + c.lastID + "=" + url.QueryEscape(r.param)
			}
			l := c.hear(query, headers...)
			if got := l.Header.Get(c.answer); got != r.answer {
				t.Errorf("%s: the answer says %q, want %q", r.name, got, r.answer)
			}
			if r.from < 0 {
				r.from = len(all)
			}
			mark := "after " + r.name
			id := c.publish("topic", "a", "data", mark)
			l.wants(append(append([]string{}, all[r.from:]...), mark, id)...)
			if (l.gaps > 0) != r.gap {
				t.Errorf("%s: %d gaps", r.name, l.gaps)
			}
			all = append(all, mark, id)
		}
	})
}

// All fields of an update arrive.
func TestFields(t *testing.T) {
	both(t, func(t *testing.T, c conversation) {
		l := c.hear(c.query("a"))
		c.publish("topic", "a", "data", "1\n2\r\n3\r4\n\n", "type", "changed", "id", "urn:1", "retry", "1234")
		if got, want := l.next(), "changed 1\n2\n3\n4\n\n urn:1"; got != want || l.Retry != 1234*time.Millisecond {
			t.Errorf("got %q and retry %v, want %q", got, l.Retry, want)
		}
		id := c.publish("topic", "a")
		if got, want := l.next(), "message  "+id; got != want {
			t.Errorf("an empty update: got %q, want %q", got, want)
		}
	})
}

// What comes in by the product's own doors is private to Mercure's clients, and what is sent to users, connections or all never reaches them.
func TestOwnDoors(t *testing.T) {
	both(t, func(t *testing.T, c conversation) {
		granted, public := c.hear(c.query("*"), bearer(c.hears("https://x/a"))...), c.hear(c.query("*"))
		c.s.Publish("broadcast", "1", "data", "to all")
		c.s.Publish("user", "u1", "data", "to a user")
		c.s.Publish("topic", "https://x/b", "data", "to another topic")
		c.s.Publish("topic", "https://x/a", "user", "u1", "data", "to the topic", "id", "own")
		id := c.publish("topic", "https://x/a", "data", "by Mercure")
		granted.wants("to the topic", "own", "by Mercure", id)
		public.wants("by Mercure", id)
	})
}
