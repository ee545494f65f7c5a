package wild_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

const token = "s3cret"

// startHub starts Caddy with a hub at /events, which answers to every name, and returns its address and its internal route.
func startHub(t *testing.T, options ...string) (address string, route harness.Route) {
	t.Helper()
	address = "127.0.0.1:" + harness.Port(t)
	_, port, _ := strings.Cut(address, ":")
	harness.StartCaddy(t, fmt.Sprintf(`{
	default_bind 127.0.0.1
	servers {
		protocols h1 h2c
	}
}
http://:%s {
	sse_push /events {
		user query userId
		%s
		internal /_sse {
			token %s
		}
	}
}`, port, strings.Join(options, "\n\t\t"), token))
	return address, harness.Route{URL: "http://" + address + "/_sse", Token: token}
}

// An event that is here while its stream is open has come through at once.
func TestFrontsPassEventsAtOnce(t *testing.T) {
	hub, route := startHub(t)
	for _, name := range harness.Fronts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := harness.StartFront(t, name, hub, right[name])
			for i, url := range front.URLs() {
				user := fmt.Sprintf("%s.%d", strings.ReplaceAll(name, " ", ""), i)
				stream := harness.Open(t, url+"/events?userId="+user, "Accept-Encoding", "gzip")
				stream.Connected()
				for _, data := range []string{"one", "two", "three"} {
					route.Publish(t, harness.Event{"user": user, "data": data})
					stream.Expect(data)
				}
				if got := stream.Header().Get("Content-Encoding"); got != "" {
					t.Errorf("the stream has Content-Encoding %q", got)
				}
			}
		})
	}
}

// right is what makes a front that would not pass events at once do so.
var right = map[string]harness.Lines{
	"lighttpd":    {"config": "server.stream-response-body = 1"},
	"nginx twice": {"inner location": "proxy_pass_header X-Accel-Buffering;"},
}
