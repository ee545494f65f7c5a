package main

import "testing"

// The listener wrapper is configured where it does something, and the table says so.
func TestWrapperIsNamed(t *testing.T) {
	b := &bench{build: &build{wrapper: true}, before: &build{}}
	before, now := servers[1], servers[2]
	for _, test := range []struct {
		server   *server
		protocol protocol
		want     string
	}{
		{now, h1, "sse_push"}, {now, h1TLS, "sse_push, wrapper"}, {now, h2, "sse_push, wrapper"},
		{before, h2, "before"}, {stock, h2, stock.name},
	} {
		if got := b.label(test.server, test.protocol); got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.server.name, test.protocol, got, test.want)
		}
	}
}
