package mercure_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A reload keeps the streams whose tokens the new config would accept, and no others.
func TestReloadRechecksTokens(t *testing.T) {
	body := func(more, lines string) string {
		return "sse_push {\nhub main\ndrain 0s\nmercure {\n" + lines + more + "\n}\n}"
	}
	sites := sitetest.ServeAll(t, body("anonymous", bothVersions))
	s := sites[0]
	open := func(parameter string, headers ...string) *sitetest.Client {
		c := s.Stream("GET", hub+"?"+parameter+"="+url.QueryEscape(topic), "", append(headers, "Accept", "text/event-stream")...)
		c.PassPositions = true
		return c
	}
	legacy := open("topic", "Authorization", "Bearer "+legacyToken(legacySubscriber, "subscribe", topic))
	modern := open("match", "Authorization", "Bearer "+accessToken(subscriber, "subscribe", topic))
	stranger := open("match")
	publish := func(data string) {
		t.Helper()
		form := url.Values{"topic": {topic}, "data": {data}}
		if a := post(t, s, form.Encode(), "Authorization", "Bearer "+accessToken(publisher, "publish", topic)); a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}

	sitetest.MustLoad(t, sites, body("anonymous\ncookie_name other", bothVersions))
	publish("one")
	for _, c := range []*sitetest.Client{legacy, modern, stranger} {
		c.Want("one")
	}
	sitetest.MustLoad(t, sites, body("", strings.Replace(bothVersions, legacySubscriber, "another-"+legacySubscriber, 1)))
	for _, c := range []*sitetest.Client{legacy, stranger} {
		c.WantEnd()
	}
	publish("two")
	modern.Want("two")
	sitetest.MustLoad(t, sites, body("", strings.Replace(bothVersions, resource, resource+"2", 1)))
	modern.WantEnd()
}
