package mercure_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// params returns a target with parameters, by names and values in turn.
func params(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return hub + "?" + q.Encode()
}

// listen opens a stream, and takes the position that it begins with.
func listen(t *testing.T, s *sitetest.Site, target string, headers ...string) *sitetest.Client {
	t.Helper()
	c := s.Stream(http.MethodGet, target, "", append(headers, "Accept", "text/event-stream")...)
	if c.Status != http.StatusOK {
		t.Fatalf("%s: status %d", target, c.Status)
	}
	if m := c.Next(); m.Type != "sse:position" || m.Data != "{}" || c.Retry == 0 {
		t.Fatalf("%s begins with %+v, retry %s", target, m, c.Retry)
	}
	return c
}

// update publishes an update, and returns its id. The fields are names and values in turn.
func update(t *testing.T, s *sitetest.Site, fields ...string) string {
	t.Helper()
	q := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		q.Add(fields[i], fields[i+1])
	}
	a := post(t, s, q.Encode(), "Authorization", "Bearer "+legacyToken(legacyPublisher, "publish", "*"))
	if a.status != http.StatusOK {
		t.Fatalf("%v: %d %s", fields, a.status, a.body)
	}
	return a.body
}

// In either version a subscriber hears the public updates of its topics, and private ones of topics that its token grants.
func TestSubscribe(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := serveWith(t, "anonymous", tls)
		s.Via(protocol)
		legacy := listen(t, s, params("topic", "https://x/a", "topic", "https://x/users/{id}"),
			"Authorization", "Bearer "+legacyToken(legacySubscriber, "subscribe", "https://x/users/1"))
		modern := listen(t, s, params("match", "https://x/a", "match_exact", "https://x/*", "match_urlpattern", "https://x/users/:id"),
			"Authorization", "Bearer "+accessToken(subscriber, "subscribe", "https://x/users/2"))
		anonymous := listen(t, s, params("topic", "*"))
		for _, u := range [][]string{
			{"topic", "https://x/a", "data", "public"},
			{"topic", "https://x/a", "data", "private", "private", "on"},
			{"topic", "https://x/users/1", "data", "for 1", "private", ""},
			{"topic", "https://x/users/2", "data", "for 2", "private", "on"},
			{"topic", "https://x/a", "topic", "https://x/users/2", "data", "for 2 on two topics", "private", "on"},
			{"topic", "https://x/*", "data", "no pattern"},
			{"topic", "https://x/a", "data", "end", "id", "urn:end", "type", "ended"},
		} {
			update(t, s, u...)
		}
		for c, want := range map[*sitetest.Client][]string{
			legacy:    {"public", "for 1", "end"},
			modern:    {"public", "for 2", "for 2 on two topics", "no pattern", "end"},
			anonymous: {"public", "no pattern", "end"},
		} {
			c.Want(want[:len(want)-1]...)
			if m := c.Next(); m.Data != "end" || m.ID != "urn:end" || m.Type != "ended" {
				t.Errorf("the last event is %+v", m)
			}
			if h := c.Header; h.Get("Last-Event-ID") != "" || h.Get("Mercure-Last-Event-ID") != "" {
				t.Errorf("a last event id that was not asked for: %v", h)
			}
		}
	})
}

// A client goes on after the id that it gives, in whatever form, and is told whether it is known.
func TestResume(t *testing.T) {
	s := serve(t, "anonymous")
	first := update(t, s, "topic", "a", "data", "1")
	update(t, s, "topic", "a", "data", "2", "id", "urn:2")
	update(t, s, "topic", "a", "data", "3")
	update(t, s, "topic", "a", "data", "secret", "private", "on")
	var streams []*sitetest.Client
	for _, c := range []struct {
		target, header string
		exact          string // the id that the answer says
		want           []string
	}{
		{params("topic", "a"), first, first, []string{"2", "3"}},
		{params("topic", "a", "lastEventID", first), "", first, []string{"2", "3"}},
		{params("topic", "a", "Last-Event-ID", "urn:2"), "", "urn:2", []string{"3"}},
		{params("match", "a", "last_event_id", "urn:2"), "", "urn:2", []string{"3"}},
		{params("match", "a", "last_event_id", first), "urn:2", "urn:2", []string{"3"}},
		{params("match", "a", "last_event_id", "earliest"), "", "earliest", []string{"1", "2", "3"}},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{"Last-Event-ID", c.header}
		}
		stream := listen(t, s, c.target, headers...)
		for _, name := range []string{"Last-Event-ID", "Mercure-Last-Event-ID"} {
			if got := stream.Header.Get(name); got != c.exact {
				t.Errorf("%s: %s is %q, want %q", c.target, name, got, c.exact)
			}
		}
		stream.Want(c.want...)
		streams = append(streams, stream)
	}
	unknown := listen(t, s, params("match", "a", "last_event_id", "urn:unknown"))
	if got := unknown.Header.Get("Mercure-Last-Event-ID"); got != "earliest" {
		t.Errorf("of an unknown id the answer says %q", got)
	}
	unknown.WantGap("unknown")
	unknown.Want("1", "2", "3")
	update(t, s, "topic", "a", "data", "end")
	for _, stream := range append(streams, unknown) {
		stream.Want("end")
	}
}

// What a subscriber may not ask for is refused, in the form of its version.
func TestSubscribeRefused(t *testing.T) {
	s := serve(t, "anonymous")
	many := func(name string, n, size int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, name, fmt.Sprintf("%0*d", size, i))
		}
		return params(pairs...)
	}
	for _, c := range []struct {
		name, target string
		status       int
	}{
		{"no topic", hub, 400},
		{"both versions", params("topic", "a", "match", "a"), 400},
		{"an unknown type", params("match", "a", "match_regexp", "a"), 400},
		{"an unknown type alone", params("match_", "a"), 400},
		{"another case", params("match", "a", "Match", "b"), 400},
		{"another case alone", params("MATCH_EXACT", "a"), 400},
		{"another case beside topic", params("topic", "a", "mAtchmaker", "b"), 400},
		{"as PHP writes a list", params("match[]", "a"), 400},
		{"another case of topic alone", params("Topic", "a"), 400},
		{"an empty topic", params("topic", ""), 400},
		{"an empty matcher", params("match", ""), 400},
		{"not UTF-8", hub + "?topic=%ff", 400},
		{"1,025 bytes", params("topic", strings.Repeat("x", 1025)), 400},
		{"a pattern that does not parse", params("match_urlpattern", "https://x/:id("), 400},
		{"a regular expression", params("match_urlpattern", "https://x/(a+)+"), 400},
		{"1,001 matchers", many("match", 1001, 4), 400},
		{"a query that cannot be read", hub + "?topic=%zz", 400},
	} {
		if a := send(t, s, http.MethodGet, c.target, ""); a.status != c.status {
			t.Errorf("%s: status %d, %s", c.name, a.status, a.body)
		}
	}
	body := strings.TrimPrefix(many("match", 60, 1000), hub+"?")
	if a := send(t, s, "QUERY", many("match", 6, 1000), body, "Content-Type", sitetest.FormType); a.status != http.StatusBadRequest || !strings.Contains(a.body, "64 KiB") {
		t.Errorf("more than 64 KiB: status %d, %s", a.status, a.body)
	}
	for name, target := range map[string]string{"1,000 matchers": many("match", 1000, 4), "the longest topic": params("topic", strings.Repeat("x", 1024))} {
		if c := s.Stream(http.MethodGet, target, ""); c.Status != http.StatusOK {
			t.Errorf("%s: status %d", name, c.Status)
		}
	}
	if a := send(t, s, http.MethodHead, params("match", "a"), ""); a.status != http.StatusOK || a.kind != "text/event-stream" {
		t.Errorf("HEAD: %+v", a)
	}
}

// A client without a token may have as many names as others, but fewer patterns.
func TestFewPatternsWithoutToken(t *testing.T) {
	s := serve(t, "anonymous")
	patterns := func(name, form string, n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, name, fmt.Sprintf(form, i))
		}
		return params(pairs...)
	}
	const urls, templates = "https://x/%d/:a", "https://x/%d/{a}"
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	modern, legacy := bearer(accessToken(subscriber, "subscribe", "a")), bearer(legacyToken(legacySubscriber, "subscribe", "a"))
	for _, c := range []struct {
		target  string
		headers []string
		status  int
	}{
		{patterns("match_urlpattern", urls, 100), nil, 200},
		{patterns("match_urlpattern", urls, 101), nil, 400},
		{patterns("match_urlpattern", urls, 101), modern, 200},
		{patterns("topic", templates, 100), nil, 200},
		{patterns("topic", templates, 101), nil, 400},
		{patterns("topic", templates, 101), legacy, 200},
	} {
		if a := send(t, s, http.MethodHead, c.target, "", c.headers...); a.status != c.status {
			t.Errorf("%.60s with %d headers: status %d", c.target, len(c.headers), a.status)
		}
	}
}

// A client without a valid token does not learn whether its matchers are: nothing is compiled for it, since that takes long.
func TestTokenComesBeforeMatchers(t *testing.T) {
	s := serve(t, "")
	for _, target := range []string{params("match_urlpattern", "https://x/:id("), params("topic", "")} {
		if a := send(t, s, http.MethodGet, target, ""); a.status != http.StatusUnauthorized {
			t.Errorf("%s without a token: status %d, %s", target, a.status, a.body)
		}
	}
}

// QUERY has matchers in its form, beside those of the URL.
func TestSubscribeByQuery(t *testing.T) {
	s := serve(t, "anonymous")
	c := s.Stream("QUERY", params("match", "a"), "match_urlpattern=https%3A%2F%2Fx%2F%3Aid", "Content-Type", sitetest.FormType)
	if c.Status != http.StatusOK {
		t.Fatalf("status %d", c.Status)
	}
	c.Next()
	update(t, s, "topic", "a", "data", "1")
	update(t, s, "topic", "b", "data", "2")
	update(t, s, "topic", "https://x/1", "data", "3")
	c.Want("1", "3")
}

// A stream ends when its token does.
func TestStreamEndsWithToken(t *testing.T) {
	s := serve(t, "")
	c := accessClaims("subscribe", "*")
	c["exp"] = time.Now().Add(2 * time.Second).Unix()
	stream := listen(t, s, params("match", "a"), "Authorization", "Bearer "+sign(subscriber, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(c)))
	if m := stream.Next(); m.Type != "sse:expiring" {
		t.Errorf("got %+v", m)
	}
	stream.WantEnd()
}

// What the product's own doors publish is private to Mercure's clients, and its subscribers hear updates by a topic that they are
// granted. What is for users, connections and all does not reach Mercure's clients.
func TestDoors(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nanonymous\ntopics a https:/**\ninternal /_sse {\nallow loopback\n}\nmercure {"+bothVersions+"anonymous\n}\n}\n")
	anonymous := listen(t, s, params("topic", "*"))
	granted := listen(t, s, params("match", "*"), "Authorization", "Bearer "+accessToken(subscriber, "subscribe", "a"))
	native := s.Open("/events?topic=a&topic=https:/**")
	s.Publish("topic", "a", "data", "native")
	s.Publish("broadcast", "1", "data", "to all")
	s.Publish("connection", native.Connected.Connection, "data", "to one")
	update(t, s, "topic", "https://x/1", "data", "mercure", "id", "urn:1")
	update(t, s, "topic", "a", "data", "private", "private", "on")
	update(t, s, "topic", "a", "data", "end")
	anonymous.Want("mercure", "end")
	granted.Want("native", "mercure", "private", "end")
	native.Want("native", "to all", "to one", "mercure", "private", "end")
}

// A reload keeps a stream, and what its token grants, as long as the hub takes its kind of client.
func TestReload(t *testing.T) {
	site := func(more string) string { return "sse_push {\nmercure {" + bothVersions + more + "\n}\n}\n" }
	s := sitetest.Serve(t, site("anonymous"))
	granted := listen(t, s, params("match", "a"), "Authorization", "Bearer "+accessToken(subscriber, "subscribe", "a"))
	anonymous := listen(t, s, params("topic", "a"))
	sitetest.MustLoad(t, []*sitetest.Site{s}, site("anonymous\ncookie_name other"))
	update(t, s, "topic", "a", "data", "private", "private", "on")
	update(t, s, "topic", "a", "data", "public")
	granted.Want("private", "public")
	anonymous.Want("public")
	sitetest.MustLoad(t, []*sitetest.Site{s}, site(""))
	for m := range anonymous.Events { // it is told to come again
		if m.Type != "sse:position" && m.Data != "" {
			t.Errorf("a client without a token got %+v", m)
		}
	}
	update(t, s, "topic", "a", "data", "again", "private", "on")
	granted.Want("again")
}
