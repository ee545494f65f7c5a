package sitetest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// When clients leave, nothing is left of them.
func TestLeavers(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	transport := s.HTTP.Transport.(*http.Transport)
	round := func(i int) {
		// t.Fatal is for the test's own goroutine, so this one speaks for itself.
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		early := i%4 == 0 // leaves at once, before the answer or in the middle of it
		if early {
			go cancel()
		}
		target := fmt.Sprintf("/events?userId=u%d&topic=public/%d&topic=public/*", i%50, i)
		resp, err := s.HTTP.Do(s.Request(ctx, "GET", target, nil, nil))
		if err != nil {
			if !early {
				t.Error(err)
			}
			return
		}
		defer resp.Body.Close()
		var b [16]byte
		if _, err := resp.Body.Read(b[:]); (err != nil || resp.StatusCode != http.StatusOK) && !early {
			t.Errorf("got %d %v", resp.StatusCode, err)
		}
	}
	rounds := func(n int) {
		places := make(chan struct{}, 20)
		var wg sync.WaitGroup
		for i := range n {
			places <- struct{}{}
			wg.Go(func() {
				round(i)
				<-places
			})
		}
		wg.Wait()
	}
	left := func() (goroutines, descriptors int) {
		transport.CloseIdleConnections()
		list, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(list)
	}
	nobody := func() bool {
		total := 0
		for _, view := range []string{"connections", "users", "topics"} {
			total += sitetest.Get[struct{ Total int }](s, "/_sse/"+view).Total
		}
		return total == 0
	}
	rounds(20)
	brokertest.Eventually(t, "nobody is left", nobody)
	goroutines, descriptors := left()
	rounds(1000)
	brokertest.Eventually(t, "nobody is left", nobody)
	brokertest.Eventually(t, "no goroutine and no descriptor is left", func() bool {
		g, d := left()
		return g <= goroutines && d <= descriptors
	})
}
