package mercure_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// laravelTopic returns the topic that Laravel gives a channel. kind is channel or whisper.
func laravelTopic(kind, channel string) string {
	return "https://laravel.alt/echo/" + kind + "/" + url.PathEscape(channel)
}

// laravelData returns the data that Laravel sends to channels.
func laravelData(event string, channels ...string) string {
	return toJSON(claims{"channels": channels, "event": event, "payload": claims{"id": 1}})
}

// laravelPage is what a page of a Laravel app holds: a cookie, a stream of its channels and one of whispers.
type laravelPage struct {
	cookie             string
	channels, whispers *sitetest.Client
}

// presencePattern returns the matcher of the subscriptions to a presence channel.
func presencePattern(channel string) string {
	return hub + "/subscriptions/:match_type/" + url.QueryEscape(laravelTopic("channel", channel)) + "{/:subscriber}?"
}

// openLaravel opens a page of a user who is in some guarded channels. Every user is in all public ones.
func openLaravel(t *testing.T, s *sitetest.Site, user string, public []string, guarded ...string) *laravelPage {
	t.Helper()
	var details []any
	var private, whisperTopics []any
	channels, whispers := url.Values{}, url.Values{}
	for _, c := range public {
		channels.Add("match", laravelTopic("channel", c))
	}
	detail := func(topics []any, payload any, actions ...string) {
		d := claims{"type": "https://mercure.rocks/authorization-detail", "actions": actions, "topics": topics}
		if payload != nil {
			d["payload"] = payload
		}
		details = append(details, d)
	}
	for _, c := range guarded {
		match := claims{"match": laravelTopic("channel", c)}
		channels.Add("match", laravelTopic("channel", c))
		if strings.HasPrefix(c, "presence-") {
			channels.Add("match_urlpattern", presencePattern(c))
			detail([]any{match, claims{"match": presencePattern(c), "match_type": "urlpattern"}}, claims{"user_id": user}, "subscribe")
		} else {
			private = append(private, match)
		}
		whisperTopics = append(whisperTopics, claims{"match": laravelTopic("whisper", c)})
		whispers.Add("match", laravelTopic("whisper", c))
	}
	detail(private, nil, "subscribe")
	detail(whisperTopics, nil, "subscribe", "publish")
	token := sign(appKey, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(claims{
		"iss": issuer, "aud": resource, "sub": user, "client_id": issuer, "jti": user, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
		"authorization_details": details,
	}))
	p := &laravelPage{cookie: cookie + "=" + token}
	if len(p.cookie) > 4096 {
		t.Fatalf("no browser takes a cookie of %d bytes", len(p.cookie))
	}
	open := func(q url.Values) *sitetest.Client {
		c := s.Stream("GET", hub+"?"+q.Encode(), "", "Accept", "text/event-stream", "Cookie", p.cookie)
		if c.Status != 200 {
			t.Fatalf("%s: got %d", user, c.Status)
		}
		c.PassPositions = true
		return c
	}
	p.channels, p.whispers = open(channels), open(whispers)
	return p
}

// whisper publishes to a topic as the page does.
func (p *laravelPage) whisper(t *testing.T, s *sitetest.Site, topic, data string) answer {
	t.Helper()
	return post(t, s, url.Values{"topic": {topic}, "data": {data}, "private": {"on"}}.Encode(), "Cookie", p.cookie, "Origin", page)
}

// appKey signs both what Laravel's server publishes and the cookies of its pages.
const appKey = "laravel-app-secret-of-32-bytes-or-more"

// serveLaravel serves a site with a hub for a Laravel app. more are lines for its block.
func serveLaravel(t *testing.T, more string) *sitetest.Site {
	t.Helper()
	return sitetest.Serve(t, `sse_push {
		mercure {
			issuer `+issuer+` {
				publisher {
					jwt `+appKey+`
				}
				subscriber {
					jwt `+appKey+`
				}
			}
			resource_identifier `+resource+`
			publish_origins `+page+`
			`+more+`
		}
	}`)
}

// What Laravel 13 and its Echo exchange with a hub: two streams for each page, one with 200 channels, updates that are unnamed events,
// one for each guarded channel, and whispers by cookie, which reach members only and cannot pass for events of the server.
func TestLaravel(t *testing.T) {
	s := serveLaravel(t, "")
	var public []string
	for i := range 194 {
		public = append(public, fmt.Sprintf("news.%d", i))
	}
	alice := openLaravel(t, s, "alice", public, "private-orders.1", "private-chat.7", "private-encrypted-a", "presence-room.1", "presence-room.2", "private-a b/c")
	bob := openLaravel(t, s, "bob", public, "private-orders.2", "private-chat.7")

	server := accessToken(appKey, "publish", "*")
	publish := func(data string, private bool, channels ...string) {
		t.Helper()
		form := url.Values{"data": {data}}
		for _, c := range channels {
			form.Add("topic", laravelTopic("channel", c))
		}
		if private {
			form.Set("private", "on")
		}
		if a := post(t, s, form.Encode(), "Authorization", "Bearer "+server); a.status != 200 || a.body == "" {
			t.Fatalf("publishing: got %d %s", a.status, a.body)
		}
	}
	shipped, joined := laravelData("OrderShipped", "private-orders.1"), laravelData("Joined", "presence-room.2")
	publish(shipped, true, "private-orders.1")
	publish(joined, true, "presence-room.2")
	odd := laravelData("Odd", "private-a b/c")
	publish(odd, true, "private-a b/c")
	news := laravelData("News", "news.0", "news.193")
	publish(news, false, "news.0", "news.193")
	bye := laravelData("Bye", "private-chat.7")
	publish(bye, true, "private-chat.7")
	want := func(c *sitetest.Client, data ...string) {
		t.Helper()
		for _, d := range data {
			if m := c.Next(); m.Data != d || m.Type != "message" && m.Type != "" || m.ID == "" {
				t.Errorf("got %q, want %s without a name", m, d)
			}
		}
	}
	want(alice.channels, shipped, joined, odd, news, bye)
	want(bob.channels, news, bye)

	// Whispers, and what a page may not publish.
	typing := toJSON(claims{"event": "client-typing", "payload": claims{}})
	if a := alice.whisper(t, s, laravelTopic("whisper", "private-orders.1"), "only alice"); a.status != 200 {
		t.Fatalf("a whisper: got %d %s", a.status, a.body)
	}
	if a := alice.whisper(t, s, laravelTopic("whisper", "private-chat.7"), typing); a.status != 200 {
		t.Fatalf("a whisper: got %d %s", a.status, a.body)
	}
	want(alice.whispers, "only alice", typing)
	want(bob.whispers, typing)
	for _, forbidden := range []string{laravelTopic("channel", "private-chat.7"), laravelTopic("whisper", "private-orders.2"), laravelTopic("channel", "news.0")} {
		if a := alice.whisper(t, s, forbidden, "forged"); a.status != 403 || !strings.Contains(a.challenge, "insufficient_scope") {
			t.Errorf("%s: got %d %q", forbidden, a.status, a.challenge)
		}
	}

	// The browser reconnects by itself, with the same URL and the id of the newest event.
	last := bob.channels.LastID
	bob.channels.Close()
	missed := laravelData("Missed", "private-chat.7")
	publish(laravelData("NotBobs", "private-orders.1"), true, "private-orders.1")
	publish(missed, true, "private-chat.7")
	q := url.Values{"match": {laravelTopic("channel", "private-orders.1"), laravelTopic("channel", "private-chat.7")}}
	again := s.Stream("GET", hub+"?"+q.Encode(), "", "Accept", "text/event-stream", "Cookie", bob.cookie, "Last-Event-ID", last)
	again.PassPositions = true
	want(again, missed)
	if got := again.Header.Get("Mercure-Last-Event-ID"); got != last {
		t.Errorf("the answer goes on from %q, want %q", got, last)
	}
}

// A presence channel of Laravel's: its members are told who joins and leaves, with what the app says of each, and a page that joins asks for
// the list. Members of other channels are told nothing.
func TestLaravelPresence(t *testing.T) {
	s := serveLaravel(t, "subscriptions")
	const room = "presence-room.1"
	path := subscriptions + "/exact/" + encode(laravelTopic("channel", room))
	members := func(p *laravelPage) (users []string) {
		t.Helper()
		a, u := get(t, s, path, "", "Cookie", p.cookie)
		if a.Status != 200 {
			t.Errorf("the list: got %d %s", a.Status, a.Body)
		}
		for _, one := range u.Subscriptions {
			users = append(users, one.Payload.(claims)["user_id"].(string))
		}
		slices.Sort(users)
		return users
	}
	next := func(p *laravelPage, user string, active bool) {
		t.Helper()
		u, event := watcher{p.channels}.next()
		if event != "mercure" || u.Match != laravelTopic("channel", room) || u.Active != active || toJSON(u.Payload) != `{"user_id":"`+user+`"}` {
			t.Errorf("got %s %+v, want %s active %v", event, u, user, active)
		}
	}
	alice := openLaravel(t, s, "alice", nil, room, "private-chat.7")
	next(alice, "alice", true)
	other := openLaravel(t, s, "other", nil, "presence-room.2", "private-chat.7")
	bob := openLaravel(t, s, "bob", nil, room, "private-chat.7")
	next(alice, "bob", true)
	next(bob, "bob", true)
	if got := members(bob); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("the members are %q", got)
	}
	if a, _ := get(t, s, path, "", "Cookie", other.cookie); a.Status != 403 {
		t.Errorf("the list for somebody else: got %d", a.Status)
	}
	bob.channels.Close()
	next(alice, "bob", false)
	if got := members(alice); !slices.Equal(got, []string{"alice"}) {
		t.Errorf("the members are %q", got)
	}
	if u, _ := (watcher{other.channels}).next(); u.Match != laravelTopic("channel", "presence-room.2") {
		t.Errorf("a member of another channel got %+v", u)
	}
	post(t, s, "data=last&topic="+url.QueryEscape(laravelTopic("channel", "presence-room.2")), "Authorization", "Bearer "+accessToken(appKey, "publish", "*"))
	other.channels.Want("last")
}
