package pool

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

func keyed(name, key string) *Hub {
	p := &Hub{Hub: &hub.Hub{Name: name}}
	p.config.Store(&config{settings: Settings{ClientKey: key}})
	return p
}

// An id belongs to its user if key, hub, route and user are the same, and to none if one of them or any bit of it is changed.
func TestConnectionID(t *testing.T) {
	const client = "0123456789abcdef"
	p := keyed("hub", "key")
	id := p.connectionID("/events", "u1", client)
	if !p.owns(id, "/events", "u1") || id != keyed("hub", "key").connectionID("/events", "u1", client) {
		t.Error("it is not its owner's, or a different one each time")
	}
	if rules.CheckConnection(id) != nil {
		t.Errorf("%q is no connection's id", id)
	}
	for name, owns := range map[string]bool{
		"another user":  p.owns(id, "/events", "u2"),
		"no user":       p.owns(id, "/events", ""),
		"another route": p.owns(id, "/other", "u1"),
		"shifted":       p.owns(id, "/event", "su1"),
		"another hub":   keyed("other", "key").owns(id, "/events", "u1"),
		"another key":   keyed("hub", "other").owns(id, "/events", "u1"),
		"a random one":  p.owns(strings.Repeat("A", 22), "/events", "u1"),
		"nothing":       p.owns("", "/events", "u1"),
		"padded":        p.owns(id+"==", "/events", "u1"),
		"longer":        p.owns(id+"AA", "/events", "u1"),
	} {
		if owns {
			t.Errorf("%s: it is the user's", name)
		}
	}
	b, _ := base64.RawURLEncoding.DecodeString(id)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if p.owns(base64.RawURLEncoding.EncodeToString(b), "/events", "u1") {
			t.Errorf("with bit %d changed it is still the user's", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	other := id[:len(id)-1] + string(id[len(id)-1]^1) // bits that mean nothing
	if p.owns(other, "/events", "u1") {
		t.Error("another spelling of it is the user's as well")
	}
}
