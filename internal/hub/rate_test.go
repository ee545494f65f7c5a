package hub_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// An address that floods has all of the rate while it is alone, and leaves the others their share as soon as they come. All
// together are admitted no faster than the rate, except for what one second holds.
func TestRateShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 50
		s := settings(10, 1<<20)
		s.Limits.Rate = rate
		h := newHub(t, s)
		total, began, refused := 0, time.Now(), map[string]int{}
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
				if address := fmt.Sprint("honest ", second%2, i); h.Arrive(address) != nil {
					refused[address] = second
				} else {
					total++
				}
			}
		}
		if len(refused) > 1 { // by chance, one in 200 times, one of them has the flood's hash, and so its share
			t.Errorf("refused, and when at last: %v", refused)
		}
		if most := rate + int(time.Since(began)/time.Second)*rate + rate; total > most {
			t.Errorf("%d are admitted, want at most %d", total, most)
		}
	})
}

// A crowd of addresses is admitted at the rate as well, and sent away for at most about a minute.
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

// As many are admitted as the rate allows, and those that are sent away come back at that rate.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(10, 1<<20)
		s.Limits.Rate = 10
		h := newHub(t, s)
		arrive := func(n int) (admitted int, again []time.Duration) {
			for range n {
				err := h.Arrive("")
				if err == nil {
					admitted++
					continue
				}
				refusal := err.(*hub.Refusal)
				if refusal.Reason != "rate" || refusal.Again <= 0 {
					t.Fatalf("got %+v", refusal)
				}
				again = append(again, refusal.Again)
			}
			return admitted, again
		}
		admitted, again := arrive(500)
		if admitted != 10 {
			t.Errorf("%d were admitted at once", admitted)
		}
		perSecond := map[time.Duration]int{}
		for _, d := range again {
			perSecond[d.Truncate(time.Second)]++
		}
		for second, n := range perSecond {
			if n > 10 {
				t.Errorf("%d come back in the second after %s", n, second)
			}
		}
		_, again = arrive(10_000)
		for i, d := range again {
			if d > time.Minute {
				t.Fatalf("the %dth is sent off for %s", i, d)
			}
		}
		time.Sleep(2 * time.Minute)
		if admitted, again := arrive(15); admitted != 10 || again[0] > 200*time.Millisecond || again[4] < 400*time.Millisecond {
			t.Errorf("two minutes later %d were admitted, the others sent off for %v", admitted, again)
		}
		h.Configure(settings(10, 1<<20))
		if admitted, _ := arrive(100); admitted != 100 {
			t.Errorf("without a limit %d were admitted", admitted)
		}
	})
}
