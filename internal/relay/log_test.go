package relay

import (
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// While the log is full, no relay begins, and those that run wait.
func TestLogThatIsFull(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")
	a.start("chat", m.URL, "")
	q := m.Next().Answer(200, "text/event-stream")
	q.Tokens("a")
	brokertest.Eventually(t, "the first is stored", func() bool { return a.info("chat").Events == 1 })
	a.full.Store(true)
	if status := a.start("another", m.URL, ""); status != http.StatusInsufficientStorage {
		t.Errorf("got %d", status)
	}
	q.Tokens("b", "c")
	q.End()
	if i := a.info("chat"); i.Status != Running || i.Events != 1 {
		t.Errorf("got %+v", i)
	}
	a.full.Store(false)
	for _, n := range []*node{a, b} {
		brokertest.Eventually(t, "it is complete", func() bool { i := n.info("chat"); return i.Status == Complete && i.Events == 3 })
	}
	if status := a.start("another", m.URL, ""); status != http.StatusAccepted {
		t.Errorf("got %d", status)
	}
	m.Next().End()
}
