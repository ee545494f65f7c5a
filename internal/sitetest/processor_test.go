package sitetest_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A machine may have any number of processors, also more than the loops that serve held streams.
func TestManyProcessors(t *testing.T) {
	t.Setenv("GOMAXPROCS", "300")
	p := sitetest.StartProcess(t, sitetest.Crowded("", "", ""), "h1", 0, nil)
	all := p.Crowd(400, "/events?userId=u1&topic=room")
	p.Publish("topic", "room", "data", "0")
	sitetest.TakeAll(t, 0, all...)
	sitetest.Leave(all)
	brokertest.Eventually(t, "nobody is left", func() bool { return sitetest.Get[sitetest.ConnectionList](p.Site, "/_sse/connections").Total == 0 })
}
