package mercure_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const subscriptions = hub + "/subscriptions"

// told is a document about a subscription, in either version.
type told struct {
	Context    string `json:"@context"`
	ID         string
	Type       string
	Topic      string
	MatchType  string `json:"match_type"`
	Match      string
	Subscriber string
	Active     bool
	Payload    any
	Last       string `json:"lastEventID"`

	Subscriptions []told
}

// watcher is a stream of updates about subscriptions.
type watcher struct{ *sitetest.Client }

// watch opens a stream of updates about subscriptions that a token grants.
func watch(t *testing.T, s *sitetest.Site, query, token string, headers ...string) watcher {
	t.Helper()
	c := s.Stream(http.MethodGet, hub+"?"+query, "", append(headers, "Authorization", "Bearer "+token)...)
	if c.Status != http.StatusOK {
		t.Fatalf("watching %s: got status %d", query, c.Status)
	}
	c.PassPositions = true
	return watcher{c}
}

// next returns the next update, and the type of its event. Its topic is its id.
func (w watcher) next() (u told, event string) {
	w.T.Helper()
	m := w.Next()
	if err := json.Unmarshal([]byte(m.Data), &u); err != nil {
		w.T.Fatalf("got %+v: %v", m, err)
	}
	return u, m.Type
}

// wants takes an update for each subscription, in any order, and returns the subscribers.
func (w watcher) wants(active bool, matches ...string) (subscribers []string) {
	w.T.Helper()
	for range len(matches) {
		u, _ := w.next()
		match := u.Match + u.Topic
		at := slices.Index(matches, match)
		if at < 0 || u.Active != active {
			w.T.Fatalf("got %+v, want active %v of one of %q", u, active, matches)
		}
		matches = slices.Delete(matches, at, at+1)
		subscribers = append(subscribers, u.Subscriber)
	}
	return subscribers
}

var uuid = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// encode encodes a text as a part of a path.
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// Those who are granted and listen are told of each subscription that begins or ends, in the form of its version, and nobody else is.
func TestSubscriptionUpdates(t *testing.T) {
	s := serve(t, "anonymous\nsubscriptions")
	all := accessToken(subscriber, "subscribe", "*")
	old := watch(t, s, "topic=*", legacyToken(legacySubscriber, "subscribe", subscriptions+"/{topic}/{subscriber}"))
	old.wants(true, "*") // itself
	modern := watch(t, s, "match_urlpattern="+url.QueryEscape(subscriptions+"/:type/:match/:subscriber"), all)
	modern.wants(true, subscriptions+"/:type/:match/:subscriber")
	deaf := watch(t, s, "match=*", accessToken(subscriber, "subscribe", "https://other"))
	modern.wants(true, "*")
	public := s.Stream(http.MethodGet, hub+"?topic=*", "")
	old.wants(true, "*")

	details := claims{
		"iss": issuer, "aud": resource, "exp": int64(4_000_000_000), "sub": "not told",
		"authorization_details": []any{
			claims{"type": "https://mercure.rocks/authorization-detail", "actions": []string{"subscribe"}, "topics": []any{claims{"match": "https://x/a"}}, "payload": claims{"n": 1}},
			claims{"type": "https://mercure.rocks/authorization-detail", "actions": []string{"subscribe"}, "topics": []any{claims{"match": "https://x/:id", "match_type": "urlpattern"}}, "payload": claims{"n": 2}},
		},
	}
	token := sign(subscriber, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(details))
	one := watch(t, s, "match="+url.QueryEscape("https://x/a")+"&match_urlpattern="+url.QueryEscape("https://x/:id")+"&match="+url.QueryEscape("https://y/ä b")+"&match_exact="+url.QueryEscape("https://x/a"), token)
	var ids []string
	for _, want := range []struct {
		kind, match string
		payload     any
	}{
		{"exact", "https://x/a", claims{"n": 1.0}}, {"exact", "https://y/ä b", nil}, {"urlpattern", "https://x/:id", claims{"n": 2.0}},
	} {
		u, event := modern.next()
		ids = append(ids, u.ID)
		topic := subscriptions + "/" + want.kind + "/" + encode(want.match) + "/" + encode(u.Subscriber)
		if event != "mercure" || u.ID != topic || u.Type != "subscription" || u.MatchType != want.kind || u.Match != want.match || !u.Active ||
			toJSON(u.Payload) != toJSON(want.payload) || !uuid.MatchString(u.Subscriber) || u.Context != "" {
			t.Errorf("got %s %+v, want %+v of %s", event, u, want, topic)
		}
	}
	one.Close()
	for range 3 {
		if u, _ := modern.next(); u.Active || !slices.Contains(ids, u.ID) {
			t.Errorf("got %+v, want the end of one of %q", u, ids)
		}
	}

	legacy := sign(legacySubscriber, `{"alg":"HS256","typ":"JWT"}`, toJSON(claims{"mercure": claims{"subscribe": []string{"x"}, "payload": claims{"name": "n"}}}))
	two := watch(t, s, "topic="+url.QueryEscape("https://x/{id}"), legacy)
	u, event := old.next()
	if topic := subscriptions + "/" + encode("https://x/{id}") + "/" + encode(u.Subscriber); event != "message" && event != "" || u.ID != topic || u.Type != "Subscription" ||
		u.Topic != "https://x/{id}" || !u.Active || toJSON(u.Payload) != `{"name":"n"}` || u.Context != "https://mercure.rocks/" {
		t.Errorf("got %s %+v, want one of %s", event, u, topic)
	}
	two.Close()
	if end, _ := old.next(); end.Active || end.ID != u.ID || toJSON(end.Payload) != `{"name":"n"}` {
		t.Errorf("got %+v, want the end of %s", end, u.ID)
	}

	post(t, s, "topic=last&data=last", "Authorization", "Bearer "+accessToken(publisher, "publish", "*"))
	deaf.Want("last")
	public.PassPositions = true
	public.Want("last")
}

// get asks the API.
func get(t *testing.T, s *sitetest.Site, path, token string, headers ...string) (a sitetest.Answer, u told) {
	t.Helper()
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	a = s.Do(http.MethodGet, path, "", headers...)
	if a.Status == http.StatusOK {
		if err := json.Unmarshal([]byte(a.Body), &u); err != nil {
			t.Fatalf("%s: %v", a.Body, err)
		}
	}
	return a, u
}

// The API lists subscriptions to those whom their token grants the path, in the form of the token's version.
func TestSubscriptionAPI(t *testing.T) {
	s := serve(t, "anonymous\nsubscriptions")
	all, oldAll := accessToken(subscriber, "subscribe", "*"), legacyToken(legacySubscriber, "subscribe", "*")
	if a, u := get(t, s, subscriptions, all); a.Status != 200 || len(u.Subscriptions) != 0 || !strings.Contains(a.Body, `"subscriptions":[]`) {
		t.Errorf("nobody is there: got %d %s", a.Status, a.Body)
	}
	one := s.Stream(http.MethodGet, hub+"?match=a&match=b&match_urlpattern="+url.QueryEscape("https://x/:id"), "")
	two := s.Stream(http.MethodGet, hub+"?match=a", "")
	s.Stream(http.MethodGet, hub+"?topic=a&topic="+url.QueryEscape("https://x/{id}"), "")
	want := func(path, token string, matches ...string) (a sitetest.Answer, u told) {
		t.Helper()
		a, u = get(t, s, path, token)
		var got []string
		for _, one := range u.Subscriptions {
			got = append(got, one.MatchType+" "+one.Match+one.Topic)
			if !one.Active || !uuid.MatchString(one.Subscriber) || one.Context != "" || !strings.HasPrefix(one.ID, subscriptions+"/") {
				t.Errorf("%s: got %+v", path, one)
			}
		}
		slices.Sort(got)
		if a.Status != 200 || !slices.Equal(got, matches) || u.ID != path {
			t.Errorf("%s: got %d %q %s, want %q", path, a.Status, got, a.Body, matches)
		}
		return a, u
	}
	a, u := want(subscriptions, all, "exact a", "exact a", "exact b", "urlpattern https://x/:id")
	link := a.Header.Get("Link")
	if a.Header.Get("Content-Type") != "application/json" || u.Type != "subscriptions" || u.Context+u.Last != "" ||
		!regexp.MustCompile(`^<`+hub+`>; rel="mercure"; last-event-id="(#[^"]+|earliest)"; type="mercure"; content-type="application/json"$`).MatchString(link) {
		t.Errorf("got %v %+v", a.Header, u)
	}
	single := u.Subscriptions[0]
	if b, u := get(t, s, single.ID, all); b.Status != 200 || u.ID != single.ID || u.Type != "subscription" || !u.Active || !strings.Contains(b.Header.Get("Link"), "; last-event-id=") {
		t.Errorf("%s: got %d %s", single.ID, b.Status, b.Body)
	}
	want(subscriptions+"/exact/a", all, "exact a", "exact a")
	want(subscriptions+"/urlpattern/"+encode("https://x/:id"), all, "urlpattern https://x/:id")
	want(subscriptions+"/exact/"+encode("https://x/:id"), all)

	a, u = want(subscriptions, oldAll, " a", " https://x/{id}")
	if a.Header.Get("Content-Type") != "application/ld+json" || u.Type != "Subscriptions" || u.Context != "https://mercure.rocks/" || u.Last == "" ||
		a.Header.Get("Link") != `<`+hub+`>; rel="mercure"` {
		t.Errorf("got %v %+v", a.Header, u)
	}
	want(subscriptions+"/a", oldAll, " a")
	if b, one := get(t, s, u.Subscriptions[0].ID, oldAll); b.Status != 200 || one.ID != u.Subscriptions[0].ID || one.Context != "https://mercure.rocks/" || one.Last == "" {
		t.Errorf("got %d %s", b.Status, b.Body)
	}

	// Who has it already gets it no second time, as long as it is the same.
	a, _ = get(t, s, subscriptions+"/exact/a", all)
	tag := a.Header.Get("Etag")
	if b, _ := get(t, s, subscriptions+"/exact/a", all, "If-None-Match", `"x", `+tag); tag == "" || b.Status != http.StatusNotModified || b.Body != "" || b.Header.Get("Link") == "" {
		t.Errorf("got %d %q for %s", b.Status, b.Body, tag)
	}
	two.Close()
	brokertest.Eventually(t, "a subscription is gone", func() bool {
		b, u := get(t, s, subscriptions+"/exact/a", all, "If-None-Match", tag)
		return b.Status == 200 && len(u.Subscriptions) == 1
	})
	one.Close()
	brokertest.Eventually(t, "a subscriber is gone", func() bool {
		b, _ := get(t, s, single.ID, all)
		return b.Status == http.StatusNotFound
	})

	for _, c := range []struct {
		name, method, path, token string
		status                    int
	}{
		{"no token", "GET", subscriptions, "", 401},
		{"a bad token", "GET", subscriptions, all + "x", 401},
		{"a publisher's token", "GET", subscriptions, accessToken(publisher, "publish", "*"), 401},
		{"no grant", "GET", subscriptions, accessToken(subscriber, "subscribe", "https://x/a"), 403},
		{"a grant of one, and all are asked for", "GET", subscriptions, accessToken(subscriber, "subscribe", subscriptions+"/exact/a"), 403},
		{"a grant of one", "GET", subscriptions + "/exact/a", accessToken(subscriber, "subscribe", subscriptions+"/exact/a"), 200},
		{"a grant by a pattern", "GET", subscriptions + "/exact/a", accessToken(subscriber, "subscribe", claims{"match": subscriptions + "/:type/a{/:subscriber}?", "match_type": "urlpattern"}), 200},
		{"a grant of another by a pattern", "GET", subscriptions + "/exact/b", accessToken(subscriber, "subscribe", claims{"match": subscriptions + "/:type/a{/:subscriber}?", "match_type": "urlpattern"}), 403},
		{"no grant, 0.x", "GET", subscriptions, legacyToken(legacySubscriber, "subscribe", "x"), 401},
		{"a grant by a template, 0.x", "GET", subscriptions + "/a", legacyToken(legacySubscriber, "subscribe", subscriptions+"/{topic}"), 200},
		{"another type", "GET", subscriptions + "/regexp/a", all, 404},
		{"a type alone", "GET", subscriptions + "/exact", all, 404},
		{"too deep", "GET", subscriptions + "/exact/a/b/c", all, 404},
		{"an empty part", "GET", subscriptions + "/exact//b", all, 404},
		{"nobody", "GET", subscriptions + "/exact/a/nobody", all, 404},
		{"HEAD", "HEAD", subscriptions, all, 200},
		{"POST", "POST", subscriptions, all, 405},
		{"beside it", "GET", subscriptions + "x", all, 404},
	} {
		var headers []string
		if c.token != "" {
			headers = bearer(c.token)
		}
		if a := send(t, s, c.method, c.path, "", headers...); a.status != c.status {
			t.Errorf("%s: got %d %s, want %d", c.name, a.status, a.body, c.status)
		}
	}
	if a := send(t, s, "GET", subscriptions, "", "Cookie", cookie+"="+all); a.status != 200 {
		t.Errorf("by cookie: got %d", a.status)
	}
	if a := send(t, s, "GET", subscriptions+"?authorization="+oldAll, ""); a.status != 200 {
		t.Errorf("by URL: got %d", a.status)
	}
}

// Without the option there are neither updates nor an API.
func TestNoSubscriptions(t *testing.T) {
	s := serve(t, "anonymous")
	all := accessToken(subscriber, "subscribe", "*")
	w := watch(t, s, "match=*", all)
	s.Stream(http.MethodGet, hub+"?match=a", "").Close()
	if a, _ := get(t, s, subscriptions, all); a.Status != http.StatusNotFound {
		t.Errorf("the API: got %d", a.Status)
	}
	post(t, s, "topic=a&data=last", "Authorization", "Bearer "+accessToken(publisher, "publish", "*"))
	w.Want("last")
}

// Whoever watches and comes back within minutes has missed nothing, and goes on without a gap; so does whoever has asked the API, after
// what that has listed. Others are told that there may have been something.
func TestSubscriptionsWhileAway(t *testing.T) {
	s := serve(t, "anonymous\nsubscriptions")
	pattern := subscriptions + "/:type/room-1{/:subscriber}?"
	grant := claims{"match": pattern, "match_type": "urlpattern"}
	query, token := "match_urlpattern="+url.QueryEscape(pattern), accessToken(subscriber, "subscribe", grant)
	visit := func() {
		t.Helper()
		s.Stream(http.MethodGet, hub+"?match=room-1&match=room-2", "").Close()
		brokertest.Eventually(t, "nobody is there", func() bool {
			_, u := get(t, s, subscriptions+"/exact/room-1", token)
			return len(u.Subscriptions) == 0
		})
	}
	w := watch(t, s, query, token)
	visit()
	came := w.wants(true, "room-1")
	if went := w.wants(false, "room-1"); went[0] != came[0] {
		t.Errorf("%s came, and %s went", came, went)
	}
	last := w.LastID
	w.Close()
	visit()
	w = watch(t, s, query, token, "Last-Event-ID", last)
	w.wants(true, "room-1")
	w.wants(false, "room-1")
	if got := w.Header.Get("Mercure-Last-Event-ID"); got != last {
		t.Errorf("it goes on after %q, want %q", got, last)
	}

	other := accessToken(subscriber, "subscribe", claims{"match": subscriptions + "/:type/room-2", "match_type": "urlpattern"}, claims{"match": subscriptions + "/:type/room-2/:subscriber", "match_type": "urlpattern"})
	otherQuery := "match_urlpattern=" + url.QueryEscape(subscriptions+"/:type/room-2/:subscriber")
	if m := watch(t, s, otherQuery, other, "Last-Event-ID", last).Next(); m.Type != "sse:gap" {
		t.Errorf("a new watcher with an old id got %+v", m)
	}
	a, _ := get(t, s, subscriptions+"/exact/room-2", other)
	cursor := regexp.MustCompile(`last-event-id="([^"]*)"`).FindStringSubmatch(a.Header.Get("Link"))[1]
	visit()
	after := watch(t, s, otherQuery+"&last_event_id="+url.QueryEscape(cursor), other)
	after.wants(true, "room-2")
	after.wants(false, "room-2")

	// Who comes to watch is told what is there.
	there := s.Stream(http.MethodGet, hub+"?match=room-3", "")
	third := watch(t, s, "match_urlpattern="+url.QueryEscape(subscriptions+"/exact/room-3/*"), accessToken(subscriber, "subscribe", "*"))
	third.wants(true, "room-3")
	there.Close()
	third.wants(false, "room-3")
}

// Streams that somebody else ends end their subscriptions as well.
func TestSubscriptionsOfEndedStreams(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nuser query user\ninternal /_sse {\nallow loopback\n}\nmercure {"+bothVersions+"\nanonymous\nsubscriptions\n}\n}")
	w := watch(t, s, "match_urlpattern="+url.QueryEscape(subscriptions+"/exact/*"), accessToken(subscriber, "subscribe", "*"))
	expiring := accessClaims("subscribe", "expiring")
	expiring["exp"] = time.Now().Add(2 * time.Second).Unix()
	e := watch(t, s, "match=expiring", sign(subscriber, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(expiring)))
	w.wants(true, "expiring")
	w.wants(false, "expiring")
	e.Close()
	k := s.Stream(http.MethodGet, hub+"?match=kicked", "")
	w.wants(true, "kicked")
	var list sitetest.ConnectionList
	if err := json.Unmarshal([]byte(s.Do(http.MethodGet, "/_sse/connections?topic=kicked", "").Body), &list); err != nil || len(list.IDs()) != 1 {
		t.Fatalf("got %+v, %v", list, err)
	}
	if a := s.Do(http.MethodDelete, "/_sse/connections/"+list.IDs()[0], ""); a.Status/100 != 2 {
		t.Errorf("DELETE: got %+v", a)
	}
	w.wants(false, "kicked")
	k.Close()
}

// Where nobody would be told, thousands of connections make no event.
func TestSubscriptionsWithoutAudience(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nuser query user\nlimits {\nconnections off\nper_ip off\n}\ninternal /_sse {\nallow loopback\n}\nmercure {"+bothVersions+"\nanonymous\nsubscriptions\n}\n}")
	pattern := subscriptions + "/:type/room-1{/:subscriber}?"
	w := watch(t, s, "match_urlpattern="+url.QueryEscape(pattern), accessToken(subscriber, "subscribe", claims{"match": pattern, "match_type": "urlpattern"}))
	watch(t, s, "match=*", accessToken(subscriber, "subscribe", "https://x/:id")) // hears nothing of the hub's
	before := s.Do(http.MethodGet, "/_sse/position", "").Body
	query := url.Values{}
	for i := range 20 {
		query.Add("match", "https://x/"+strconv.Itoa(i))
	}
	for range sitetest.ClientCount(t, 500) {
		s.Stream(http.MethodGet, hub+"?"+query.Encode(), "")
	}
	brokertest.Eventually(t, "all are listed", func() bool {
		_, u := get(t, s, subscriptions+"/exact/"+encode("https://x/19"), accessToken(subscriber, "subscribe", subscriptions+"/exact/"+encode("https://x/19")))
		return len(u.Subscriptions) >= 500
	})
	if after := s.Do(http.MethodGet, "/_sse/position", "").Body; after != before {
		t.Errorf("the log went on from %s to %s", before, after)
	}
	s.Stream(http.MethodGet, hub+"?match=room-1", "")
	w.wants(true, "room-1")
}
