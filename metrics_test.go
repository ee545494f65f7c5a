package ssepush_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const scraped = `
	handle /metrics {
		metrics
	}`

// scrape reads all metrics, by name and labels as they are written.
func (s *site) scrape() map[string]float64 {
	s.t.Helper()
	a := s.do("GET", "/metrics", "")
	if a.status != http.StatusOK {
		s.t.Fatalf("got %d %s", a.status, a.body)
	}
	values := map[string]float64{}
	for line := range strings.Lines(a.body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series, text, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok {
			continue // has no labels: not of ours
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		values[series+"}"] = value
	}
	return values
}

// wantMetrics waits until all have their values: what a client has seen may be counted a moment later.
func (s *site) wantMetrics(want map[string]float64) {
	s.t.Helper()
	var got map[string]float64
	wrong := func() (series string) {
		got = s.scrape()
		for series, value := range want {
			if v, ok := got[series]; !ok || v != value {
				return series
			}
		}
		return ""
	}
	if !eventually(func() bool { return wrong() == "" }) {
		series := wrong()
		s.t.Fatalf("%s: got %v, want %v, of\n%v", series, got[series], want[series], got)
	}
}

// What is known to have happened is counted, and goes on being counted through a reload.
func TestMetrics(t *testing.T) {
	body := func(more string) string { return route("hub main\n"+more) + scraped }
	sites := serveAll(t, body("limits {\nper_user 2\n}"), "tls internal\n"+route("hub main"), route("hub other"))
	s, secure := sites[0], sites[1]
	secure.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	secure.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	waitFor(t, "the certificate is there", func() bool {
		resp, err := secure.client.Get(secure.url + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})

	first, second := s.open("/events?userId=u1"), s.open("/events?userId=u1")
	if kind := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").next().Type; kind != "sse:rejected" {
		t.Errorf("the third connection got %s", kind)
	}
	overH2 := secure.open("/events?userId=u2")
	if overH2.proto != 2 {
		t.Fatalf("got HTTP/%d", overH2.proto)
	}
	start := first.id
	s.publishEach(toU1, "a", "b")
	for _, c := range []*client{first, second} {
		c.want("a", "b")
	}
	s.publish("user", "u2", "data", "c")
	overH2.want("c")
	second.close()
	s.publish("user", "u3", "data", "1", "coalesce", "k")
	s.publish("user", "u3", "data", "2", "coalesce", "k")
	s.resume("/events?userId=u3", start).want("2")
	s.resume("/events?userId=u3", "of another hub").wantGap("unknown")

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
		`sse_push_delivery_delay_seconds_bucket{hub="main",le="+Inf"}`:     s.scrape()[`sse_push_delivery_delay_seconds_count{hub="main"}`],
		`sse_push_delivery_delay_seconds_bucket{hub="other",le="0.00025"}`: 0,
	}
	s.wantMetrics(want)
	got := s.scrape()
	if n := got[`sse_push_delivery_delay_seconds_count{hub="main"}`]; n < 3 || n > 5 { // "a" and "b" may have come at once, or not
		t.Errorf("got %v delays", n)
	}
	if n := got[`sse_push_delivery_delay_seconds_sum{hub="main"}`]; n <= 0 || n > limit.Seconds() {
		t.Errorf("got %v seconds of delay", n)
	}
	delivered, history := got[`sse_push_delivered_bytes_total{hub="main"}`], got[`sse_push_history_bytes{hub="main"}`]
	if delivered < 7*20 || delivered > 7*200 || history < 5*20 {
		t.Errorf("got %v bytes delivered, %v in the history", delivered, history)
	}

	mustLoad(t, sites, body("heartbeat 20s"), "tls internal\n"+route("hub main"), `respond "next"`)
	s.wantMetrics(without(want, "other"))
	s.publish("user", "u1", "data", "after")
	first.want("after")
	s.wantMetrics(map[string]float64{
		`sse_push_events_published_total{hub="main"}`: 6,
		`sse_push_events_delivered_total{hub="main"}`: 8,
	})
	for series := range s.scrape() {
		if strings.Contains(series, `hub="other"`) {
			t.Errorf("%s is there, though the hub is not", series)
		}
	}
	first.close()
	overH2.close()
	s.wantMetrics(map[string]float64{
		`sse_push_connections{hub="main",mode="held",protocol="h1"}`:      2,
		`sse_push_connections{hub="main",mode="goroutine",protocol="h2"}`: 0,
		`sse_push_users{hub="main"}`:                                      1,
	})
}

// without is what is wanted of all hubs but one.
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
	sites := serveAll(t, route("hub main"))
	s := sites[0]
	left, ended := s.open("/events?userId=u1"), s.open("/events?userId=u2")
	s.publishEach(toU1, "a", "b")
	left.want("a", "b")
	type line struct {
		Level, Msg, Hub, User, Reason string
		Duration                      float64
		Events, Bytes                 int
	}
	find := func(id string) (found []line) {
		for text := range strings.Lines(s.log()) {
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
	check := func(c *client, want line) {
		t.Helper()
		id := c.connected.Connection
		waitFor(t, "the line is there", func() bool { return len(find(id)) > 0 })
		found := find(id)
		got := found[0]
		if got.Duration <= 0 || got.Duration > limit.Seconds() || got.Bytes < 20*got.Events || (got.Bytes > 0) != (got.Events > 0) {
			t.Errorf("got %+v", got)
		}
		got.Duration, got.Bytes = 0, 0
		if got != want || len(found) != 1 {
			t.Errorf("got %+v, want %+v", found, want)
		}
	}
	left.close()
	check(left, line{Level: "info", Msg: "connection ended", Hub: "main", User: "u1", Reason: "the client left", Events: 2})

	// A stream that outlives its config is told of in the log of the one in force.
	s.logFile = filepath.Join(t.TempDir(), "log")
	mustLoad(t, sites, route("hub main"))
	s.do("DELETE", "/_sse/connections/"+ended.connected.Connection, "")
	ended.wantEnd()
	check(ended, line{Level: "info", Msg: "connection ended", Hub: "main", User: "u2", Reason: "disconnected"})
}

// Whatever the dashboard asks for is there, and whatever is there has its place in it and in the README.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("examples/grafana.json")
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
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, route("")+scraped)
	there := map[string]bool{}
	for series := range s.scrape() {
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
		if !part && !strings.Contains(string(readme), "`"+n+"`") {
			t.Errorf("the README says nothing of %s", n)
		}
	}
	if len(dashboard.Templating.List) != 2 || dashboard.SchemaVersion < 39 {
		t.Errorf("got %+v", dashboard.Templating)
	}
}
