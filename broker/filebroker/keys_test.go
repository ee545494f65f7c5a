package filebroker

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// clocks are both clocks of a machine, as a test sets them.
type clocks struct {
	mu   sync.Mutex
	at   moment
	wall time.Duration // by how much the wall clock is wrong
}

func (c *clocks) now() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return moment{c.at.wall + int64(c.wall), c.at.mono}
}

// pass lets time pass.
func (c *clocks) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.wall += int64(d)
	c.at.mono += d
}

// set makes the wall clock wrong.
func (c *clocks) set(wrong time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = wrong
}

// A key counts for ten minutes, whatever the wall clock was when it was used: a clock that was a day ahead must not
// make the log swallow new events for a day.
func TestKeysAfterTheClockWasWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wrong   time.Duration
		restart bool
	}{{24 * time.Hour, false}, {24 * time.Hour, true}, {-24 * time.Hour, false}, {0, false}, {0, true}} {
		t.Run(fmt.Sprintf("by %s, restart %t", c.wrong, c.restart), func(t *testing.T) {
			clock := &clocks{at: realMoment()}
			dir, o := t.TempDir(), quiet(Options{Sync: Never, segment: 4 << 10, clock: clock.now})
			b := opened(t, dir, o)
			again := func() {
				if c.restart {
					crash(t, b)
					b = opened(t, dir, o)
				}
			}
			store := func(key string, repeated bool) {
				t.Helper()
				if r := appendOne(t, b, key, "x"); r.Err != nil || r.Repeated != repeated {
					t.Errorf("%s: %+v, want repeated %t", key, r, repeated)
				}
			}
			clock.set(c.wrong)
			for i := range 60 {
				store(fmt.Sprint("wrong ", i), false)
			}
			clock.set(0)
			store("right", false)
			clock.pass(KeyWindow / 2)
			again()
			if c.wrong >= 0 { // a clock set forward may make a key old too early, which stores an event twice at worst
				store("wrong 59", true)
			}
			store("right", true)
			clock.pass(KeyWindow / 2)
			again()
			store("right", false)
			store("wrong 59", false)
			store("wrong 0", false)
		})
	}
}

// The time for which a machine was suspended counts.
func TestKeysAfterSuspension(t *testing.T) {
	t.Parallel()
	clock := &clocks{at: realMoment()}
	b := opened(t, t.TempDir(), quiet(Options{Sync: Never, clock: clock.now}))
	appendOne(t, b, "k", "x")
	clock.set(time.Hour) // the monotonic clock stood still
	if r := appendOne(t, b, "k", "x"); r.Err != nil || r.Repeated {
		t.Errorf("got %+v", r)
	}
}
