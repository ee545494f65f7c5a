package mercure_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// form returns a form, by names and values in turn.
func form(fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		b.WriteString(url.QueryEscape(fields[i]) + "=" + url.QueryEscape(fields[i+1]) + "&")
	}
	return b.String()
}

// What a publisher may send, and what of it is refused, in either version.
func TestPublishFields(t *testing.T) {
	s := sitetest.Serve(t, "sse_push {\nlimits {\nevent 1KB\n}\nmercure {"+bothVersions+"\n}\n}")
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n, size int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString("topic=" + fmt.Sprintf("%0*d", size, i) + "&")
		}
		return b.String()
	}
	for _, c := range []struct {
		name, form string
		status     int
		want       string // in the answer
	}{
		{"a topic", "topic=a", 200, "#"},
		{"all fields", form("topic", "a", "topic", "https://x/b", "data", "d\r\ne", "private", "on", "id", "urn:1", "type", "t", "retry", "1000"), 200, "urn:1"},
		{"private without a value", "topic=a&private", 200, "#"},
		{"empty fields", "topic=a&id=&type=&retry=&data=", 200, "#"},
		{"fields twice", "topic=a&id=first&id=second", 200, "first"},
		{"fields that are not Mercure's", "topic=a&user=u&users[]=u&broadcast=1&connection=c&topics[]=b&ttl=x&coalesce=y&exclude=z&event=e", 200, "#"},
		{"a topic of 1,024 bytes", "topic=" + long(1024), 200, "#"},
		{"a topic with wildcards and segments", form("topic", "https://x/*/**/{a}/:b/"+strings.Repeat("/s", 100)), 200, "#"},
		{"the longest data", "topic=a&data=" + long(1000), 200, "#"},
		{"retry 0", "topic=a&retry=0", 200, "#"},
		{"the longest id and type", "topic=a&id=" + long(128) + "&type=" + long(128), 200, long(128)},

		{"no topic", "data=x", 400, "topic"},
		{"nothing", "", 400, "topic"},
		{"an empty topic", "topic=", 400, "topic"},
		{"a good and an empty topic", "topic=a&topic=", 400, "topic"},
		{"the topic *", "topic=*", 400, "topic"},
		{"the topic * after a good one", "topic=a&topic=%2A", 400, "topic"},
		{"a topic of 1,025 bytes", "topic=" + long(1025), 400, "topic"},
		{"a topic that is not UTF-8", "topic=%ff", 400, "UTF-8"},
		{"a topic with a line break", "topic=a%0Ab", 400, "topic"},
		{"a topic that looks like another", "topic=a%E2%80%8B", 400, "topic"},
		{"the hub's path", form("topic", hub), 400, "topic"},
		{"below the hub's path", form("topic", "a", "topic", hub+"/subscriptions/x"), 400, "topic"},
		{"the hub's path on another host", form("topic", "http://other.example/.well-known/%6Dercure/x"), 400, "topic"},
		{"the hub's path with dots", form("topic", "/a/../.well-known/./mercure"), 400, "topic"},
		{"an id that begins with #", form("topic", "a", "id", "#1"), 400, "id"},
		{"the id earliest", "topic=a&id=earliest", 400, "id"},
		{"an id with NUL", "topic=a&id=a%00b", 400, "id"},
		{"an id with a line break", "topic=a&id=a%0Adata:%20b", 400, "id"},
		{"an id that is too long", "topic=a&id=" + long(129), 400, "id"},
		{"a type of EventSource's own", "topic=a&type=error", 400, "type"},
		{"the type mercure", "topic=a&type=mercure", 400, "type"},
		{"a type of the server's own", "topic=a&type=sse:gap", 400, "type"},
		{"a type with a line break", "topic=a&type=a%0Ddata:b", 400, "type"},
		{"a type that is too long", "topic=a&type=" + long(129), 400, "type"},
		{"a retry that is no number", "topic=a&retry=soon", 400, "retry"},
		{"a negative retry", "topic=a&retry=-1", 400, "retry"},
		{"a retry with a sign", "topic=a&retry=%2B1", 400, "retry"},
		{"a retry in other digits", form("topic", "a", "retry", "١"), 400, "retry"},
		{"a retry of more than a day", "topic=a&retry=86400001", 400, "retry"},
		{"a retry of more than a number", "topic=a&retry=99999999999999999999", 400, "retry"},
		{"data that is not UTF-8", "topic=a&data=%ff", 400, "UTF-8"},
		{"a broken percent-encoding", "topic=a&data=%zz", 400, "percent"},
		{"JSON", `{"topic":"a"}`, 400, "topic"},

		{"data that is too long", "topic=a&data=" + long(1001), 413, "data"},
		{"a body that is too long", "topic=a&x=" + long(300_000), 413, "body"},
		{"as many topics as may be", many(1000, 3), 200, "#"},
		{"one topic more", many(1001, 4), 413, "topic"},
		{"topics that are too long together", many(70, 1000), 413, "topic"},
		{"a topic as long as that", "topic=" + long(70_000), 413, "topic"},
	} {
		for name, token := range map[string]string{"0.x": legacyToken(legacyPublisher, "publish", "*"), "1.0": accessToken(publisher, "publish", "*")} {
			a := post(t, s, c.form, "Authorization", "Bearer "+token)
			if a.status != c.status || !strings.HasPrefix(a.body, c.want) && (a.status == 200 || !strings.Contains(a.body, c.want)) {
				t.Errorf("%s, %s: got %d %q, want %d %q", name, c.name, a.status, a.body, c.status, c.want)
			}
			if a.status == 200 && a.kind != "text/plain; charset=utf-8" {
				t.Errorf("%s, %s: the answer is %s", name, c.name, a.kind)
			}
		}
	}
	for kind, status := range map[string]int{
		"application/x-www-form-urlencoded; charset=UTF-8": 200, "APPLICATION/X-WWW-FORM-URLENCODED": 200,
		"application/json": 400, "text/plain": 400, "multipart/form-data; boundary=x": 400, "": 400, ";": 400,
	} {
		if a := send(t, s, "POST", hub, "topic=a", "Content-Type", kind, "Authorization", "Bearer "+legacyToken(legacyPublisher, "publish", "*")); a.status != status {
			t.Errorf("Content-Type %q: got %d, want %d", kind, a.status, status)
		}
	}
}

// What a publisher writes into the URL is no part of the update, and a form without a topic is not a subscription.
func TestPublishIgnoresURL(t *testing.T) {
	s := serve(t, "anonymous")
	token := []string{"Authorization", "Bearer " + legacyToken(legacyPublisher, "publish", "*"), "Content-Type", sitetest.FormType}
	if a := send(t, s, "POST", hub+"?topic=a", "data=x", token...); a.status != 400 {
		t.Errorf("a topic in the URL: got %d %s", a.status, a.body)
	}
	c := listen(t, s, params("topic", "a", "topic", "b"))
	for _, query := range []string{"?topic=a", "?private", "?id=x&type=t&data=y"} {
		if a := send(t, s, "POST", hub+query, "topic=b&data="+url.QueryEscape(query), token...); a.status != 200 || !strings.HasPrefix(a.body, "#") {
			t.Errorf("%s: got %d %s", query, a.status, a.body)
		}
		if m := c.Next(); m.Data != query || m.Type != "message" {
			t.Errorf("%s: got %q", query, m)
		}
	}
}

// A publisher needs a grant on each topic of an update: what comes with one that it may not publish to is not stored at all.
func TestPublishNeedsEveryTopic(t *testing.T) {
	s := serve(t, "")
	for _, c := range []struct {
		name   string
		topics []string
		stored bool
	}{
		{"the one", []string{"https://x/books/1"}, true},
		{"by a pattern", []string{"https://x/films/1"}, true},
		{"both", []string{"https://x/books/1", "https://x/films/2"}, true},
		{"another", []string{"https://x/books/2"}, false},
		{"the first is granted", []string{"https://x/books/1", "https://x/books/2"}, false},
		{"the last is granted", []string{"https://x/books/2", "https://x/books/1"}, false},
		{"the pattern itself", []string{"https://x/films/a/b"}, false},
	} {
		var topics strings.Builder
		for _, topic := range c.topics {
			topics.WriteString(form("topic", topic))
		}
		legacy := post(t, s, topics.String(), "Authorization", "Bearer "+legacyToken(legacyPublisher, "publish", "https://x/books/1", "https://x/films/{id}"))
		if legacy.status != map[bool]int{true: 200, false: 401}[c.stored] {
			t.Errorf("0.x, %s: got %d %s", c.name, legacy.status, legacy.body)
		}
		modern := post(t, s, topics.String(), "Authorization",
			"Bearer "+accessToken(publisher, "publish", "https://x/books/1", claims{"match": "https://x/films/:id", "match_type": "urlpattern"}))
		if modern.status != map[bool]int{true: 200, false: 403}[c.stored] || strings.Contains(modern.challenge, "insufficient_scope") == c.stored {
			t.Errorf("1.0, %s: got %d %s %s", c.name, modern.status, modern.challenge, modern.body)
		}
	}
	for name, token := range map[string]string{
		"a subscriber's grant": legacyToken(legacyPublisher, "subscribe", "*"), "no topics": legacyToken(legacyPublisher, "publish"),
	} {
		if a := post(t, s, "topic=a", "Authorization", "Bearer "+token); a.status != 401 {
			t.Errorf("%s: got %d", name, a.status)
		}
	}
}

// Clients of the hub's own language hear an update by one of its topics, if they may. It reaches them in no other way, whatever else
// the form says.
func TestPublishReachesOwnClients(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nuser query user\ntopics **\nmercure {"+bothVersions+"\n}\n}")
	hears := s.Open("/events?user=ann&topic=" + url.QueryEscape("https://x/books/1"))
	other := s.Open("/events?user=ben&topic=" + url.QueryEscape("https://x/films/1"))
	publish := func(fields ...string) string {
		t.Helper()
		a := post(t, s, form(fields...), "Authorization", "Bearer "+legacyToken(legacyPublisher, "publish", "*"))
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		return a.body
	}
	id := publish("topic", "https://x/books/1", "topic", "https://x/all", "data", "first", "private", "", "type", "t", "user", "ben", "broadcast", "1")
	publish("topic", "https://x/films/1", "data", "second", "user", "ann", "broadcast", "1")
	publish("topic", "https://x/books/1", "topic", "https://x/films/1", "data", "third", "id", "mine", "retry", "2000")
	if m := hears.Next(); m.Data != "first" || m.Type != "t" || "#"+m.ID != id {
		t.Errorf("got %q, and the answer to its publisher was %q", m, id)
	}
	hears.Want("third")
	other.Want("second", "third")
}
