package ssepush_test

import "testing"

// A machine may have any number of processors, also more than the loops that serve held streams.
func TestManyProcessors(t *testing.T) {
	t.Setenv("GOMAXPROCS", "300")
	p := start(t, fair("", "", ""), "h1", 0, nil)
	all := p.crowd(400, "/events?userId=u1&topic=room")
	p.publish("topic", "room", "data", "0")
	takeAll(t, 0, all...)
	leave(all)
	waitFor(t, "nobody is left", func() bool { return get[connections](p.site, "/_sse/connections").Total == 0 })
}
