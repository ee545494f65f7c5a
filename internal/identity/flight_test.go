package identity

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// answers makes an authorizer ask an app that takes so long for each answer, and counts the questions.
func answers(v *authorizer, takes time.Duration) *atomic.Int64 {
	asked := new(atomic.Int64)
	v.ask = func(ctx context.Context, q *question, done func()) (int, http.Header, error) {
		defer done()
		asked.Add(1)
		select {
		case <-time.After(takes):
			return http.StatusOK, http.Header{"X-Sse-User": {q.header.Get("Cookie")}}, nil
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	return asked
}

// fromAddress is a request with a cookie from an address.
func fromAddress(ctx context.Context, cookie, address string) *http.Request {
	r := asClient(cookie)
	r.RemoteAddr = address
	return r.WithContext(ctx)
}

// Honest clients get in beside a crowd from elsewhere that stays, and beside one that has left, wherever it came from. For
// those who have left nothing is asked.
func TestAuthorizeCrowd(t *testing.T) {
	const crowd, honest, places = 4000, 40, 20
	for name, test := range map[string]struct {
		leaves  bool
		address string // of the crowd; the honest have 192.0.2.0 to 192.0.2.39
		within  time.Duration
	}{
		"it has left":                       {leaves: true, address: "203.0.113.1:1", within: 300 * time.Millisecond},
		"it has left, from the same place":  {leaves: true, address: "192.0.2.1:1", within: 300 * time.Millisecond},
		"it stays":                          {address: "203.0.113.1:1", within: 500 * time.Millisecond},
		"it stays, all over an IPv6 subnet": {address: "[2001:db8::%x]:1", within: 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := authorizerOf(t, Authorize{Target: "/whoami", Concurrency: places})
				asked := answers(v, 100*time.Millisecond)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var all sync.WaitGroup
				for i := range crowd {
					address := test.address
					if address[0] == '[' {
						address = fmt.Sprintf(address, i)
					}
					all.Go(func() { _, _ = v.Verify(arriving(fromAddress(ctx, fmt.Sprint("crowd=", i), address), nil, "/events")) })
				}
				synctest.Wait()
				if test.leaves {
					leave()
					synctest.Wait()
				}
				began, admitted := time.Now(), 0
				var mu sync.Mutex
				var others sync.WaitGroup
				for i := range honest {
					others.Go(func() {
						g, err := v.Verify(arriving(fromAddress(t.Context(), fmt.Sprint("honest=", i), fmt.Sprintf("192.0.2.%d:1", i)), nil, "/events"))
						if took := time.Since(began); err != nil || g.User != fmt.Sprint("honest=", i) || took > test.within {
							t.Errorf("client %d: got %+v, %v after %s", i, g, err, took)
							return
						}
						mu.Lock()
						admitted++
						mu.Unlock()
					})
				}
				others.Wait()
				if admitted != honest {
					t.Errorf("%d of %d were admitted", admitted, honest)
				}
				if n := asked.Load(); test.leaves && n != places+honest {
					t.Errorf("the app was asked %d times", n)
				}
				leave()
				all.Wait()
				time.Sleep(time.Second) // what was asked ends
				v.mu.Lock()
				defer v.mu.Unlock()
				if n := v.queue.Keys(); n != 0 || len(v.flights) != 0 {
					t.Errorf("%d addresses and %d flights are remembered", n, len(v.flights))
				}
			})
		})
	}
}

// The app has its whole timeout, however long a question has waited for its turn. An answer that nobody waits for any more
// is kept: the client will come again.
func TestAuthorizeWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := authorizerOf(t, Authorize{Target: "/whoami", Concurrency: 1, Timeout: caddy.Duration(time.Second)})
		asked := answers(v, 900*time.Millisecond)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				if g, err := v.Verify(arriving(asClient(fmt.Sprint("id=", i)), nil, "/events")); err != nil || g == nil {
					t.Errorf("client %d: got %+v, %v", i, g, err)
				}
			})
		}
		all.Wait()

		ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		if _, err := v.Verify(arriving(fromAddress(ctx, "id=left", "192.0.2.1:1"), nil, "/events")); !isSoft(err, "authorize") {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		n := asked.Load()
		if g, err := v.Verify(arriving(asClient("id=left"), nil, "/events")); err != nil || g.User != "id=left" || asked.Load() != n {
			t.Errorf("got %+v, %v; asked %d times more", g, err, asked.Load()-n)
		}

		// One of several who wait for the same leaves: the others get their answer.
		ctx, leave = context.WithCancel(t.Context())
		v.forgetUser("")
		all.Go(func() { _, _ = v.Verify(arriving(asClient("id=first"), nil, "/events")) })
		synctest.Wait()
		all.Go(func() { _, _ = v.Verify(arriving(fromAddress(ctx, "id=both", "192.0.2.1:1"), nil, "/events")) })
		all.Go(func() {
			if g, err := v.Verify(arriving(asClient("id=both"), nil, "/events")); err != nil || g == nil {
				t.Errorf("got %+v, %v", g, err)
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
	})
}
