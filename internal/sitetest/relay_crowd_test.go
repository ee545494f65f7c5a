package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Many relays at once, some of them stopped at any moment: each page gets its own answer from the first
// token on, in order and once, and is told of its end.
func TestManyRelays(t *testing.T) {
	const relays, tokens = 120, 30
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range tokens {
			_, _ = fmt.Fprintf(w, "data: %s %d\n\n", r.URL.Path, i)
			if http.NewResponseController(w).Flush() != nil || r.Context().Err() != nil {
				return
			}
		}
	}))
	t.Cleanup(model.Close)
	body := sitetest.Route("relay {\nto " + model.URL + " private\n}\nlimits {\nper_user off\n}")
	s := sitetest.Serve(t, body)
	var work sync.WaitGroup
	for i := range relays {
		work.Go(func() {
			id := fmt.Sprint("r", i)
			a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, "user": "u%d", "request": {"url": "%s/%d"}}`, id, i, model.URL, i))
			if a.Status != http.StatusAccepted {
				t.Errorf("%d %s", a.Status, a.Body)
				return
			}
			c, err := s.TryStream(sitetest.Limit, "GET", fmt.Sprintf("/events?userId=u%d&relay=%s", i, id), "", "Accept", sitetest.EventStream)
			if err != nil {
				t.Error(err)
				return
			}
			stopped := i%3 == 0
			if stopped {
				if a := s.Do("DELETE", "/_sse/relays/"+id, ""); a.Status != http.StatusNoContent {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			}
			next := 0
			for e := range c.Events {
				var end relayEnd
				switch {
				case e.Type == "sse:connected":
				case e.Type == "sse:end":
					if err := json.Unmarshal([]byte(e.Data), &end); err != nil || int(end.Events) != next || end.Status != "complete" && !stopped || end.Status == "complete" && next != tokens {
						t.Errorf("%s: %s after %d events", id, e.Data, next)
					}
					next = -1
				case e.Data != fmt.Sprintf("/%d %d", i, next):
					t.Errorf("%s: got %q, want number %d", id, e.Message, next)
					return
				default:
					next++
				}
			}
			if next != -1 {
				t.Errorf("%s: the stream, with the status %d, ended after %d events without an end", id, c.Status, next)
			}
		})
	}
	work.Wait()
}
