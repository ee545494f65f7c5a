package hub_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Memory is given back once when a storm of connections is over, and again only after one that is as large.
func TestMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(10, 1<<20))
		join := func(n int) {
			for range n {
				if _, err := h.Subscribe(t.Context(), hub.Subscription{User: "u"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var begin, m runtime.MemStats
		runtime.ReadMemStats(&begin)
		after := func(wait time.Duration, want uint32) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			runtime.ReadMemStats(&m)
			const each = 2 // collections
			if n := m.NumForcedGC - begin.NumForcedGC; n != each*want {
				t.Errorf("%d collections, want %d", n, each*want)
			}
		}
		join(999)
		after(time.Minute, 0)
		join(1)
		after(4*time.Second, 0)
		join(1) // the storm goes on
		after(4*time.Second, 0)
		after(2*time.Second, 1)
		join(500)
		after(time.Minute, 1)
		join(501)
		after(6*time.Second, 2)
	})
}
