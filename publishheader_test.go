package ssepush_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// Frameworks answer a form with a redirect: what it publishes counts, as does every answer that says it went well.
func TestPublishHeaderStatus(t *testing.T) {
	all := []int{200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 404, 422, 500, 503}
	for _, test := range []struct {
		block string
		count []int
	}{
		{"", []int{200, 201, 202, 204, 300, 301, 302, 303, 307, 308}},
		{"status 2xx", []int{200, 201, 202, 204}},
		{"status 3xx", []int{300, 301, 302, 303, 307, 308}},
		{"status 201 302 4xx", []int{201, 302, 400, 404, 422}},
	} {
		t.Run(test.block, func(t *testing.T) {
			routes := ""
			for _, status := range all {
				routes += fmt.Sprintf("@%d path /%d\nroute @%d {\nheader X-SSE-Publish user=u1&data=%d\nheader Location /\nrespond %d\n}\n",
					status, status, status, status, status)
			}
			s := serve(t, app("user query userId\npublish_header user {\n"+test.block+"\nsize 1KiB\n}", routes))
			s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			c := s.open("/events?userId=u1")
			for _, status := range all {
				if a := s.do(http.MethodPost, fmt.Sprint("/", status), ""); a.status != status || a.header.Get("X-SSE-Publish") != "" {
					t.Errorf("%d: got %+v", status, a)
				}
				if slices.Contains(test.count, status) {
					c.want(fmt.Sprint(status)) // and none before it
				}
			}
			s.publish("user", "u1", "data", "last")
			c.want("last")
		})
	}
}
