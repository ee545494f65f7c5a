package mercure_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Events that could pass for the hub's own updates are refused at the product's own doors, one by one, and what is published beside
// them arrives. Without Mercure, there is nothing to pass for.
func TestReservedAtOwnDoors(t *testing.T) {
	const lines = "user query user\ntopics **\npublish_header topic\ninternal /_sse {\nallow loopback\n}\n"
	const app = "\nheader /app X-SSE-Publish `[{\"topic\":\"" + hub + "/subscriptions/exact/a/s\",\"data\":\"forged\"},{\"topic\":\"a\",\"data\":\"kept\"}]`\nrespond /app \"done\""
	forged := []struct{ event, field string }{
		{`{"topic":"` + hub + `","data":"x"}`, "topic"},
		{`{"topic":"` + hub + `/subscriptions/exact/a/s","data":"x"}`, "topic"},
		{`{"topic":"https://anywhere/.well-known/%6Dercure/x","data":"x"}`, "topic"},
		{`{"topics":["a","/x/../.well-known/mercure"],"data":"x"}`, "topic"},
		{`{"topic":"mercure/subscriptions","data":"x"}`, "topic"}, // relative to the hub's URL
		{`{"topic":"a","event":"mercure","data":"x"}`, "event"},
		{`{"user":"u1","event":"mercure","data":"x"}`, "event"},
	}
	t.Run("without Mercure", func(t *testing.T) {
		s := sitetest.Serve(t, "sse_push /events {\n"+lines+"}")
		for _, c := range forged {
			if a := s.Post("application/json", c.event); a.Status != http.StatusOK {
				t.Errorf("%s: got %d %s", c.event, a.Status, a.Body)
			}
		}
	})

	s := sitetest.Serve(t, "sse_push /events {\n"+lines+"mercure {"+bothVersions+"\n}\n}"+app)
	for _, c := range forged {
		a := s.Post("application/json", c.event)
		if p := sitetest.ProblemOf(t, a); a.Status != http.StatusBadRequest || p.Field != c.field {
			t.Errorf("%s: got %d %s", c.event, a.Status, a.Body)
		}
	}

	c := s.Stream(http.MethodGet, hub+"?topic=*", "", bearer(legacyToken(legacySubscriber, "subscribe", "*"))...)
	a := s.Post("application/json", fmt.Sprintf(`[{"topic":"a","data":"first"},{"topic":%q,"data":"x"},{"topic":"a","event":"mercure","data":"x"},{"topic":"a","data":"second"}]`, hub))
	if a.Status != http.StatusOK || strings.Count(a.Body, `"index":1`) != 1 || strings.Count(a.Body, `"index":2`) != 1 || strings.Count(a.Body, `"id"`) != 2 {
		t.Errorf("a batch: got %d %s", a.Status, a.Body)
	}
	if a := s.Do(http.MethodGet, "/app", ""); a.Status != http.StatusOK {
		t.Errorf("the app's answer: got %+v", a)
	}
	c.PassPositions = true
	c.Want("first", "second", "kept")
	if !strings.Contains(s.Log(), "X-SSE-Publish: an event was not published") {
		t.Error("the log does not say that an event of the app's was refused")
	}
}
