package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// The clients of a hub that closes each get a time of their own to come back.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(10, 1<<20))
		const clients = 2000
		ends := make(chan time.Duration, clients)
		retries := map[string]bool{}
		begin := time.Now()
		farewells := make(chan string, clients)
		for range clients {
			r := subscribe(t, h, hub.Subscription{User: "u"})
			go func() {
				defer r.conn.Close(nil)
				for {
					frames, err := r.conn.Next(nil, 1<<20)
					if err != nil {
						ends <- time.Since(begin)
						farewells <- string(frames[len(frames)-1])
						return
					}
					if len(frames) == 0 {
						<-r.wake
					}
				}
			}()
		}
		synctest.Wait()
		h.Drain(3 * time.Second)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
		perSecond := map[time.Duration]int{}
		for range clients {
			perSecond[(<-ends).Truncate(time.Second)]++
			retries[<-farewells] = true
		}
		if len(perSecond) != 3 || len(retries) < 500 {
			t.Errorf("not spread out: ends %v, %d different retries", perSecond, len(retries))
		}
	})
}
