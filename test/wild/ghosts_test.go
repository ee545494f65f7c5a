package wild_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// ghost is how long a front keeps a client that has left, by the protocol of the client: "HTTP/1.1", "HTTP/2".
type ghost map[string]time.Duration

// lenience is how much later than docs/reference/fronts.md says a busy machine may notice.
const lenience = 5 * time.Second

// inTable matches a row of the table of docs/reference/fronts.md.
var inTable = regexp.MustCompile(`(?m)^\| (\S[^|]*?) \| (at once|\d+ s|–) \| (at once|\d+ s|–) \|`)

// ghosts returns what docs/reference/fronts.md says, by the first cell of a row.
func ghosts(t *testing.T) map[string]ghost {
	t.Helper()
	found := map[string]ghost{}
	for _, match := range inTable.FindAllStringSubmatch(harness.File(t, "docs/reference/fronts.md"), -1) {
		g := ghost{}
		for i, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			switch cell := match[2+i]; cell {
			case "–":
			case "at once":
				g[protocol] = 0
			default:
				seconds, err := strconv.Atoi(strings.TrimSuffix(cell, " s"))
				if err != nil {
					t.Fatal(err)
				}
				g[protocol] = time.Duration(seconds) * time.Second
			}
		}
		found[match[1]] = g
	}
	return found
}

// haunted are the fronts of the table of docs/reference/fronts.md.
var haunted = map[string]row{
	"nginx":                                {front: "nginx"},
	"nginx behind nginx":                   {front: "nginx twice", page: []string{"inner location", "server"}},
	"Apache":                               {front: "Apache"},
	"HAProxy":                              {front: "HAProxy"},
	"HAProxy, `option abortonclose`":       {front: "HAProxy", page: []string{"defaults"}},
	"Varnish":                              {front: "Varnish"},
	"Varnish, `return (pipe)`":             {front: "Varnish", page: []string{"vcl"}},
	"Squid":                                {front: "Squid"},
	"lighttpd, `stream-response-body = 1`": {front: "lighttpd", page: []string{"config"}},
	"h2o":                                  {front: "h2o"},
	"Traffic Server":                       {front: "Traffic Server"},
	"hitch":                                {front: "hitch", page: []string{"config"}},
	"stunnel":                              {front: "stunnel"},
	"Caddy":                                {front: "Caddy"},
}

// A client that leaves is counted no longer than docs/reference/fronts.md says. It leaves as soon as it has come, so that the next heartbeat
// is as far as it can be.
func TestGhosts(t *testing.T) {
	said, snippets := ghosts(t), page(t)
	if got, want := slices.Sorted(maps.Keys(said)), slices.Sorted(maps.Keys(haunted)); !slices.Equal(got, want) {
		t.Errorf("docs/reference/fronts.md has the fronts %q, want %q", got, want)
	}
	if !all() {
		return
	}
	hubs := startHubs(t, "15s")
	for name, r := range haunted {
		lines := harness.Lines{}
		for _, place := range r.page {
			lines[place] = snippets[snippet{r.front, place}]
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := harness.StartFront(t, r.front, hubs["15s"].address, lines)
			for protocol, limit := range said[name] {
				t.Run(protocol, func(t *testing.T) {
					t.Parallel()
					url := front.HTTPS
					if url == "" {
						url = front.HTTP
					}
					var took []string
					for range 3 { // a busy machine may be late by chance, but not early
						noticed := leave(t, url, hubs["15s"].route, protocol == "HTTP/2")
						took = append(took, fmt.Sprintf("%.1f s", noticed.Seconds()))
						if noticed <= limit+lenience {
							t.Logf("noticed after %q", took)
							return
						}
					}
					t.Errorf("noticed after %q, not within %s", took, limit)
				})
			}
		})
	}
}

// leave opens a stream, leaves it, and returns how long the hub goes on counting it.
func leave(t *testing.T, url string, route harness.Route, http2 bool) time.Duration {
	t.Helper()
	user := strings.Trim(regexp.MustCompile("[^a-z0-9]+").ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events?userId="+user, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: !http2, ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if (res.ProtoMajor == 2) != http2 {
		t.Fatalf("the answer is one of %s", res.Proto)
	}
	if _, err := res.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	harness.EventuallyEqual(t, "connections", 1, func() int { return route.Connections(t, user) })
	cancel()
	left := time.Now()
	harness.EventuallyEqual(t, "connections", 0, func() int { return route.Connections(t, user) })
	return time.Since(left)
}
