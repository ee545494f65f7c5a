package hub_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// An address that floods has all of the rate while it is alone, and leaves the others theirs as soon as they come. All
// together come in no faster than the rate says, save for what one second holds.
func TestRateShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 50
		s := settings(10, 1<<20)
		s.Limits.Rate = rate
		h := newHub(t, s)
		total, began := 0, time.Now()
		flood := func(address string, n int) (admitted int) {
			for range n {
				if h.Arrive(address) == nil {
					admitted++
				}
			}
			total += admitted
			return admitted
		}
		if n := flood("flood", 1000); n != rate {
			t.Errorf("one alone: %d are admitted at once", n)
		}
		for second := range 20 {
			time.Sleep(time.Second)
			if n := flood("flood", 1000); second < 5 && n != rate {
				t.Errorf("second %d: of one alone %d are admitted", second, n)
			}
			if second < 5 {
				continue
			}
			for i := range 10 {
				if err := h.Arrive(fmt.Sprint("honest ", second%2, i)); err != nil {
					t.Errorf("second %d, client %d: got %v", second, i, err)
				} else {
					total++
				}
			}
		}
		if most := rate + int(time.Since(began)/time.Second)*rate + rate; total > most {
			t.Errorf("%d are admitted, want at most %d", total, most)
		}
	})
}

// A crowd of addresses comes in at the rate as well, and is sent off for about a minute at most.
func TestRateOfCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 50
		s := settings(10, 1<<20)
		s.Limits.Rate = rate
		h := newHub(t, s)
		admitted := 0
		for range 10 {
			for i := range 20_000 {
				err := h.Arrive(fmt.Sprint("address ", i))
				var refusal *hub.Refusal
				switch {
				case err == nil:
					admitted++
				case !errors.As(err, &refusal) || refusal.Reason != "rate" || refusal.Again < 0 || refusal.Again > time.Minute:
					t.Fatalf("got %+v", err)
				}
			}
			time.Sleep(time.Second)
		}
		if admitted < 10*rate || admitted > 12*rate {
			t.Errorf("%d are admitted in ten seconds", admitted)
		}
	})
}
