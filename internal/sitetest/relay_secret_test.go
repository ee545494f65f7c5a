package sitetest_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// An upstream may repeat the key that it was sent, anywhere: no part of it is in what operators see, or in the log.
func TestRelayRepeatsSecret(t *testing.T) {
	const key = "sk-0123456789-abcdef"
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route("relay {\nto "+m.URL+" private {\nheader X-Api-Key "+key+"\n}\n}"))
	for id, answer := range map[string]struct{ contentType, requestID, body string }{
		"body":   {"application/json", "1", `{"error":"no such key: ` + key + `"}`},
		"edge":   {"application/json", "1", strings.Repeat("x", 4<<10-10) + key},
		"type":   {"text/" + key, "1", ""},
		"header": {"text/plain", strings.Repeat("y", 512-10) + key, ""},
	} {
		t.Run(id, func(t *testing.T) {
			s := s.In(t)
			startRelay(s, m, id, "")
			q := m.Next().Answer(401, answer.contentType, "X-Request-Id", answer.requestID)
			q.Write(answer.body)
			q.End()
			brokertest.Eventually(t, "the relay has ended", func() bool { return relayOf(s, id).Status == "failed" })
			brokertest.Eventually(t, "the log says so", func() bool { return s.Logged("relay ended", `"relay":"`+id+`"`) })
			for what, text := range map[string]string{"an operator": s.Do("GET", "/_sse/relays/"+id, "").Body, "the log": s.Log()} {
				if strings.Contains(text, key[:8]) {
					t.Errorf("%s is told: %s", what, text)
				}
			}
		})
	}
}
