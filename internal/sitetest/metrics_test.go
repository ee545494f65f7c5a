package sitetest_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// wantMetrics waits until metrics have their values: what a client has seen may be counted a moment later.
func wantMetrics(s *sitetest.Site, want map[string]float64) {
	s.T.Helper()
	var got map[string]float64
	wrong := func() (series string) {
		got = s.Scrape()
		for series, value := range want {
			if v, ok := got[series]; !ok || v != value {
				return series
			}
		}
		return ""
	}
	if !brokertest.Until(func() bool { return wrong() == "" }) {
		series := wrong()
		s.T.Fatalf("%s: got %v, want %v, of\n%v", series, got[series], want[series], got)
	}
}

// What is known to have happened is counted, and goes on being counted through a reload.
func TestMetrics(t *testing.T) {
	body := func(more string) string { return sitetest.Route("hub main\n"+more) + sitetest.Metrics }
	sites := sitetest.ServeAll(t, body("limits {\nper_user 2\n}"), "tls internal\n"+sitetest.Route("hub main"), sitetest.Route("hub other"))
	s, secure := sites[0], sites[1]
	secure.HTTP.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	secure.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	brokertest.Eventually(t, "the certificate is there", func() bool {
		resp, err := secure.HTTP.Get(secure.URL + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})

	first, second := s.Open("/events?userId=u1"), s.Open("/events?userId=u1")
	if kind := s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").Next().Type; kind != "sse:rejected" {
		t.Errorf("the third connection got %s", kind)
	}
	overH2 := secure.Open("/events?userId=u2")
	if overH2.Proto != 2 {
		t.Fatalf("got HTTP/%d", overH2.Proto)
	}
	start := first.LastID
	s.PublishEach(sitetest.ToU1, "a", "b")
	for _, c := range []*sitetest.Client{first, second} {
		c.Want("a", "b")
	}
	s.Publish("user", "u2", "data", "c")
	overH2.Want("c")
	second.Close()
	s.Publish("user", "u3", "data", "1", "coalesce", "k")
	s.Publish("user", "u3", "data", "2", "coalesce", "k")
	s.Resume("/events?userId=u3", start).Want("2")
	s.Resume("/events?userId=u3", "of another hub").WantGap("unknown")

	want := map[string]float64{
		`sse_push_connections{hub="main",mode="held",protocol="h1"}`:       3,
		`sse_push_connections{hub="main",mode="goroutine",protocol="h1"}`:  0,
		`sse_push_connections{hub="main",mode="goroutine",protocol="h2"}`:  1,
		`sse_push_connections{hub="main",mode="goroutine",protocol="h3"}`:  0,
		`sse_push_connections{hub="other",mode="held",protocol="h1"}`:      0,
		`sse_push_users{hub="main"}`:                                       3,
		`sse_push_events_published_total{hub="main"}`:                      5,
		`sse_push_events_published_total{hub="other"}`:                     0,
		`sse_push_catchups_total{cause="new",hub="main"}`:                  3,
		`sse_push_catchups_total{cause="resume",hub="main"}`:               2,
		`sse_push_catchups_total{cause="slow",hub="main"}`:                 0,
		`sse_push_gaps_total{hub="main",reason="unknown"}`:                 1,
		`sse_push_gaps_total{hub="main",reason="trimmed"}`:                 0,
		`sse_push_rejected_total{hub="main",reason="per_user"}`:            1,
		`sse_push_rejected_total{hub="main",reason="draining"}`:            0,
		`sse_push_history_events{hub="main"}`:                              5,
		`sse_push_pending_bytes{hub="main"}`:                               0,
		`sse_push_draining{hub="main"}`:                                    0,
		`sse_push_expired_total{hub="main"}`:                               0,
		`sse_push_coalesced_total{hub="main"}`:                             2, // for both who resumed
		`sse_push_events_delivered_total{hub="main"}`:                      7, // the second of them got its gap, and then "2"
		`sse_push_delivery_delay_seconds_bucket{hub="main",le="+Inf"}`:     s.Scrape()[`sse_push_delivery_delay_seconds_count{hub="main"}`],
		`sse_push_delivery_delay_seconds_bucket{hub="other",le="0.00025"}`: 0,
	}
	wantMetrics(s, want)
	got := s.Scrape()
	if n := got[`sse_push_delivery_delay_seconds_count{hub="main"}`]; n < 3 || n > 5 { // "a" and "b" may have come at once, or not
		t.Errorf("got %v delays", n)
	}
	if n := got[`sse_push_delivery_delay_seconds_sum{hub="main"}`]; n <= 0 || n > sitetest.Limit.Seconds() {
		t.Errorf("got %v seconds of delay", n)
	}
	delivered, history := got[`sse_push_delivered_bytes_total{hub="main"}`], got[`sse_push_history_bytes{hub="main"}`]
	if delivered < 7*20 || delivered > 7*200 || history < 5*20 {
		t.Errorf("got %v bytes delivered, %v in the history", delivered, history)
	}

	sitetest.MustLoad(t, sites, body("heartbeat 20s"), "tls internal\n"+sitetest.Route("hub main"), `respond "next"`)
	wantMetrics(s, without(want, "other"))
	s.Publish("user", "u1", "data", "after")
	first.Want("after")
	wantMetrics(s, map[string]float64{
		`sse_push_events_published_total{hub="main"}`: 6,
		`sse_push_events_delivered_total{hub="main"}`: 8,
	})
	for series := range s.Scrape() {
		if strings.Contains(series, `hub="other"`) {
			t.Errorf("%s is there, though the hub is not", series)
		}
	}
	first.Close()
	overH2.Close()
	wantMetrics(s, map[string]float64{
		`sse_push_connections{hub="main",mode="held",protocol="h1"}`:      2,
		`sse_push_connections{hub="main",mode="goroutine",protocol="h2"}`: 0,
		`sse_push_users{hub="main"}`:                                      1,
	})
}

// without returns what is wanted of all hubs but one.
func without(want map[string]float64, but string) map[string]float64 {
	others := map[string]float64{}
	for series, value := range want {
		if !strings.Contains(series, `hub="`+but+`"`) {
			others[series] = value
		}
	}
	return others
}

// The log has one line for a connection that has ended, with all that an operator may ask of it.
func TestEndIsLogged(t *testing.T) {
	sites := sitetest.ServeAll(t, sitetest.Route("hub main"))
	s := sites[0]
	left, ended := s.Open("/events?userId=u1"), s.Open("/events?userId=u2")
	s.PublishEach(sitetest.ToU1, "a", "b")
	left.Want("a", "b")
	type line struct {
		Level, Msg, Hub, User, Reason string
		Duration                      float64
		Events, Bytes                 int
	}
	find := func(id string) (found []line) {
		for text := range strings.Lines(s.Log()) {
			var l line
			if strings.Contains(text, `"connection":"`+id+`"`) && strings.Contains(text, "connection ended") {
				if err := json.Unmarshal([]byte(text), &l); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				found = append(found, l)
			}
		}
		return found
	}
	check := func(c *sitetest.Client, want line) {
		t.Helper()
		id := c.Connected.Connection
		brokertest.Eventually(t, "the line is there", func() bool { return len(find(id)) > 0 })
		found := find(id)
		got := found[0]
		if got.Duration <= 0 || got.Duration > sitetest.Limit.Seconds() || got.Bytes < 20*got.Events || (got.Bytes > 0) != (got.Events > 0) {
			t.Errorf("got %+v", got)
		}
		got.Duration, got.Bytes = 0, 0
		if got != want || len(found) != 1 {
			t.Errorf("got %+v, want %+v", found, want)
		}
	}
	left.Close()
	check(left, line{Level: "info", Msg: "connection ended", Hub: "main", User: "u1", Reason: "the client left", Events: 2})

	// The end of a stream that outlived its config is in the log of the current one.
	s.LogFile = filepath.Join(t.TempDir(), "log")
	sitetest.MustLoad(t, sites, sitetest.Route("hub main"))
	s.Do("DELETE", "/_sse/connections/"+ended.Connected.Connection, "")
	ended.WantClosing("disconnected")
	check(ended, line{Level: "info", Msg: "connection ended", Hub: "main", User: "u2", Reason: "disconnected"})
}

// Whatever the dashboard asks for is there, and whatever is there has its place in it and in docs/reference/metrics.md.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(sitetest.Repo("examples/grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		SchemaVersion int
		Panels        []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile(sitetest.Repo("docs/reference/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := sitetest.Serve(t, sitetest.Route("")+sitetest.Metrics)
	there := map[string]bool{}
	for series := range s.Scrape() {
		if name, _, _ := strings.Cut(series, "{"); strings.HasPrefix(name, "sse_push_") {
			there[name] = false
		}
	}
	if len(there) < 15 {
		t.Fatalf("got only %v", there)
	}
	name := regexp.MustCompile(`sse_push_\w+`)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			asked := name.FindAllString(target.Expr, -1)
			if len(asked) == 0 {
				t.Errorf("%s asks for nothing: %s", p.Title, target.Expr)
			}
			for _, n := range asked {
				if _, ok := there[n]; !ok {
					t.Errorf("%s asks for %s, which is not there", p.Title, n)
				}
				there[n] = true
			}
			if strings.Count(target.Expr, `{hub=~"$hub"`) != len(asked) {
				t.Errorf("%s does not keep to the chosen hubs: %s", p.Title, target.Expr)
			}
		}
	}
	for n, asked := range there {
		part := strings.HasPrefix(n, "sse_push_delivery_delay_seconds_")
		if !asked && !part {
			t.Errorf("%s is on no panel", n)
		}
		if !part && !strings.Contains(string(reference), "`"+n+"`") {
			t.Errorf("docs/reference/metrics.md says nothing of %s", n)
		}
	}
	if len(dashboard.Templating.List) != 2 || dashboard.SchemaVersion < 39 {
		t.Errorf("got %+v", dashboard.Templating)
	}
}
