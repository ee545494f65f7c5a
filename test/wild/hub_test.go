package wild_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

const token = "s3cret"

// hub is a hub at /events of a site that answers to every name.
type hub struct {
	address string
	route   harness.Route
}

// oldHub is the heartbeat of a hub whose server speaks HTTP/1.1 only.
const oldHub = "2s"

// startHubs starts a Caddy with a hub for each heartbeat.
func startHubs(t *testing.T, heartbeats ...string) map[string]hub {
	t.Helper()
	hubs := map[string]hub{}
	var global, sites strings.Builder
	for i, heartbeat := range heartbeats {
		port := harness.Port(t)
		if heartbeat == oldHub {
			fmt.Fprintf(&global, "\tservers 127.0.0.1:%s {\n\t\tprotocols h1\n\t}\n", port)
		}
		fmt.Fprintf(&sites, `
http://:%s {
	sse_push /events {
		hub hub%d
		user query userId
		heartbeat %s
		internal /_sse {
			token %s
		}
	}
}`, port, i, heartbeat, token)
		address := "127.0.0.1:" + port
		hubs[heartbeat] = hub{address: address, route: harness.Route{URL: "http://" + address + "/_sse", Token: token}}
	}
	harness.StartCaddy(t, "{\n\tdefault_bind 127.0.0.1\n"+global.String()+"}\n"+sites.String())
	return hubs
}
