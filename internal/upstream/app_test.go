package upstream

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// The route and the app see one request, whatever the site has rewritten: an instruction that is removed for the app is not
// left for the route, and only the URL differs.
func TestBothViewsOfARequestShareItsHeaders(t *testing.T) {
	for name, own := range map[string]string{"as sent": "/index.php", "rewritten": "/events?topic=room"} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/index.php", nil)
			r.Header.Set("X-SSE-User", "admin")
			r.Header.Set("Accept", "text/event-stream")
			u, err := url.Parse(own)
			if err != nil {
				t.Fatal(err)
			}
			both := newAppRequest(r, u)
			stripRequest(both.toApp)
			for view, r := range map[string]*http.Request{own: both.onRoute, "/index.php": both.toApp} {
				if r.URL.String() != view || r.Header.Get("X-SSE-User") != "" || r.Header.Get("Accept") == "" {
					t.Errorf("got %s, %v", r.URL, r.Header)
				}
			}
		})
	}
}
