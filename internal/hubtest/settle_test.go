package hubtest

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sharedlog"
)

// settle waits until every client has got what it publishes, even if that is stored at positions that the clients have passed.
func TestSettleAfterRollback(t *testing.T) {
	h := sharedlog.New(sharedlog.Fault{Reuses: true}).Harness(t)
	c := newCluster(t, t, h, 2, whole)
	c.audience(5, false)
	restore := h.Engine.Snapshot(t)
	c.load(2, 20)()
	c.settle()
	restore()
	c.settle()
	c.stop()
	for _, cl := range c.clients {
		<-cl.gone
		if last := c.marked.Load().number; !cl.has(last) {
			t.Errorf("%s has not got event %d, and it has settled", cl.name, last)
		}
	}
}
