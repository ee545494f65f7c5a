package relay

import (
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A call that is made again, because it was not known whether the log had its begin, starts the relay if the log has. Made once more,
// it starts nothing, even if the relay has just ended.
func TestCallAgainAfterAnUnknownOutcome(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")
	a.unsure.Store(unsureStored)
	if status := a.start("chat", m.URL, ""); status != http.StatusServiceUnavailable {
		t.Errorf("got %d", status)
	}
	if status := a.start("chat", m.URL, ""); status != http.StatusAccepted {
		t.Errorf("again: got %d", status)
	}
	m.Next().Answer(200, "text/event-stream").End()
	brokertest.Eventually(t, "it is over", func() bool {
		if status := a.start("chat", m.URL, ""); status != http.StatusAccepted {
			t.Errorf("once more: got %d", status)
		}
		return a.info("chat").Status == Complete && b.info("chat").Status == Complete
	})
	if len(m.Requests) > 0 {
		t.Error("it was started twice")
	}
	a.mustIdle()
}
