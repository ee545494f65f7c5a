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

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// answers makes an authorizer ask an app that takes some time for each answer. It counts the questions.
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

// fromAddress returns a request with a cookie from an address.
func fromAddress(ctx context.Context, cookie, address string) *http.Request {
	r := asClient(cookie)
	r.RemoteAddr = address
	return r.WithContext(ctx)
}

// Honest clients get in beside a crowd that stays and comes from elsewhere, and beside any crowd that has left. For clients
// that have left, the app is not asked.
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
					all.Go(func() { _, _ = v.verify(arriving(fromAddress(ctx, fmt.Sprint("crowd=", i), address), nil, "/events")) })
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
						g, err := v.verify(arriving(fromAddress(t.Context(), fmt.Sprint("honest=", i), fmt.Sprintf("192.0.2.%d:1", i)), nil, "/events"))
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

// The app has its whole timeout, however long a question has waited for its turn. An answer for
// which no client waits any more is kept: the client will come again.
func TestAuthorizeWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := authorizerOf(t, Authorize{Target: "/whoami", Concurrency: 1, Timeout: caddy.Duration(time.Second)})
		asked := answers(v, 900*time.Millisecond)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				if g, err := v.verify(arriving(asClient(fmt.Sprint("id=", i)), nil, "/events")); err != nil || g == nil {
					t.Errorf("client %d: got %+v, %v", i, g, err)
				}
			})
		}
		all.Wait()

		ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		if _, err := v.verify(arriving(fromAddress(ctx, "id=left", "192.0.2.1:1"), nil, "/events")); !isSoft(err, "authorize") {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		n := asked.Load()
		if g, err := v.verify(arriving(asClient("id=left"), nil, "/events")); err != nil || g.User != "id=left" || asked.Load() != n {
			t.Errorf("got %+v, %v; asked %d times more", g, err, asked.Load()-n)
		}

		// One of several clients that wait for the same answer leaves: the others get it.
		ctx, leave = context.WithCancel(t.Context())
		v.forgetUser("")
		all.Go(func() { _, _ = v.verify(arriving(asClient("id=first"), nil, "/events")) })
		synctest.Wait()
		all.Go(func() { _, _ = v.verify(arriving(fromAddress(ctx, "id=both", "192.0.2.1:1"), nil, "/events")) })
		all.Go(func() {
			if g, err := v.verify(arriving(asClient("id=both"), nil, "/events")); err != nil || g == nil {
				t.Errorf("got %+v, %v", g, err)
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
	})
}

const limitOfTest = 30 * time.Second

// Two thousand clients of a hundred users come back at once: one question a user, few at a time, no refusal.
func TestAuthorizeStorm(t *testing.T) {
	const clients, users, atOnce = 2000, 100, 4
	var asked, now, most atomic.Int64
	v := authorizerOf(t, Authorize{Concurrency: atOnce, Timeout: caddy.Duration(limitOfTest), TTL: caddy.Duration(time.Minute), Target: app(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		c, _ := r.Cookie("id")
		w.Header().Set("X-SSE-User", c.Value)
		now.Add(-1)
	})})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			user := fmt.Sprint("u", i%users)
			g, err := v.verify(arriving(asClient("id="+user), nil, "/events"))
			if err != nil || g.User != user {
				t.Errorf("client %d: got %+v, %v", i, g, err)
			}
		})
	}
	wg.Wait()
	if asked.Load() != users || most.Load() > atOnce {
		t.Errorf("the app was asked %d times, up to %d at once", asked.Load(), most.Load())
	}
}

// If the app is too slow for a storm of clients, they may come again.
func TestAuthorizeStormOnASlowApp(t *testing.T) {
	release := make(chan struct{})
	v := authorizerOf(t, Authorize{Concurrency: 2, Timeout: caddy.Duration(300 * time.Millisecond), Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("X-SSE-User", "u")
	})})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if g, err := v.verify(arriving(asClient(fmt.Sprint("id=", i)), nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
	wg.Wait()
	close(release)
	brokertest.Eventually(t, "one that comes again is admitted", func() bool {
		g, err := v.verify(arriving(asClient("id=1"), nil, "/events"))
		return err == nil && g.User == "u"
	})
}

// The answer to a question from before a purge is not given to clients that come after the purge, and not kept.
func TestAuthorizePurgeInFlight(t *testing.T) {
	asked, answer := make(chan struct{}, 9), make(chan string)
	v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("X-SSE-User", <-answer)
	})})
	users := make(chan string, 2)
	ask := func() {
		g, err := v.verify(arriving(asClient("id=1"), nil, "/events"))
		if err != nil {
			t.Error(err)
			return
		}
		users <- g.User
	}
	go ask()
	<-asked
	v.forgetUser("old")
	go ask()
	<-asked         // a question of its own
	answer <- "old" // to one of the two: both go by the same name here
	<-users
	answer <- "new"
	<-users
	go ask()
	select {
	case user := <-users: // kept: so it is the answer to the second question
		if n := len(asked); n != 0 {
			t.Errorf("asked %d times more, and %q is kept", n, user)
		}
	case <-time.After(limitOfTest):
		t.Error("the answer from after the purge is not kept")
	}

	go func() { <-asked; v.forgetUser("old"); answer <- "late" }()
	v.forgetUser("old")
	v.forgetUser("new")
	ask()
	if v.mu.Lock(); len(v.answers) != 0 {
		t.Error("an answer from before a purge is kept")
	}
	v.mu.Unlock()
}
