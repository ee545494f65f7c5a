package relay

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A node stops a relay that another one has started just now, although it has yet to hear of it.
func TestStopRightAfterTheStart(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")
	for i := range 50 {
		id := fmt.Sprint("chat-", i)
		if status := a.start(id, m.URL, ""); status != http.StatusAccepted {
			t.Fatalf("got %d", status)
		}
		if w := b.call(http.MethodDelete, "relays/"+id, ""); w.Code != http.StatusNoContent {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	}
	if w := b.call(http.MethodDelete, "relays/none", ""); w.Code != http.StatusNotFound {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	brokertest.Eventually(t, "nothing runs", func() bool {
		r := find(a.Hub)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.runs) == 0
	})
	a.mustIdle()
}

// What was read before a relay is stopped is kept, though it was to be stored a little later.
func TestStopKeepsWhatWasRead(t *testing.T) {
	m := sitetest.StartModel(t)
	a, _ := twoNodes(t, m, "")
	r := find(a.Hub)
	for i := range 20 {
		id := fmt.Sprint("chat-", i)
		a.start(id, m.URL, "")
		q := m.Next().Answer(200, "text/event-stream")
		q.Tokens("a")
		brokertest.Eventually(t, "the first is stored", func() bool { return a.info(id).Events == 1 })
		q.Tokens("b")
		r.mu.Lock()
		x := r.runs[id]
		r.mu.Unlock()
		for x.counts.Bytes.Load() < uint64(len("data: a\n\ndata: b\n\n")) {
			runtime.Gosched()
		}
		a.call(http.MethodDelete, "relays/"+id, "")
		if info := a.info(id); info.Status != Cancelled || info.Events != 2 {
			t.Errorf("got %+v", info)
		}
	}
}
