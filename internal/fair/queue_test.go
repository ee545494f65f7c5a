package fair_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/fair"
)

// enter waits for a place in the background, and returns a channel that gets the result.
func enter(ctx context.Context, q *fair.Queue, key string) chan error {
	done := make(chan error, 1)
	go func() { done <- q.Enter(ctx, key) }()
	synctest.Wait()
	return done
}

func waits(done chan error) bool {
	synctest.Wait()
	return len(done) == 0
}

// A key that is alone has all places. A second one gets the next free place, however many callers of the first wait.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fair.New(4, 1000)
		var first []chan error
		for range 100 {
			first = append(first, enter(t.Context(), q, "a"))
		}
		if waits(first[3]) || !waits(first[4]) {
			t.Fatal("one key alone does not have all places, or more")
		}
		var second []chan error
		for range 3 {
			second = append(second, enter(t.Context(), q, "b"))
		}
		for i, want := range []chan error{second[0], second[1]} { // until both keys have two
			q.Leave("a")
			if waits(want) {
				t.Errorf("%d: the second key waits", i)
			}
		}
		if !waits(second[2]) || !waits(first[4]) {
			t.Fatal("a place was made up")
		}
		q.Leave("a")
		if waits(first[4]) || !waits(first[5]) || !waits(second[2]) {
			t.Error("a place did not stay with its key, where both have as many")
		}
		q.Leave("b")
		if waits(second[2]) {
			t.Error("a place did not stay with its key, where both have as many")
		}
		for range 2 {
			q.Leave("b")
		}
		for i := 5; i < 100; i++ {
			if waits(first[i]) {
				q.Leave("a")
			}
			if waits(first[i]) {
				t.Fatalf("caller %d of the first key waits", i)
			}
		}
		for range 4 {
			q.Leave("a")
		}
		if n := q.Keys(); n != 0 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

// A caller that gives up loses no place, whether it waits or is just being served.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fair.New(1, 10)
		enter(t.Context(), q, "a")
		ctx, cancel := context.WithCancel(t.Context())
		gone, next := enter(ctx, q, "a"), enter(t.Context(), q, "a")
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		q.Leave("a")
		if waits(next) {
			t.Error("one who has left was served")
		}
		q.Leave("a")
		if n := q.Keys(); n != 0 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

// If there is no room to wait, the newest caller of the longest line is turned away.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fair.New(1, 3)
		enter(t.Context(), q, "a")
		var a []chan error
		for range 3 {
			a = append(a, enter(t.Context(), q, "a"))
		}
		if err := q.Enter(t.Context(), "a"); !errors.Is(err, fair.ErrFull) {
			t.Errorf("got %v", err)
		}
		b := enter(t.Context(), q, "b")
		if err := <-a[2]; !errors.Is(err, fair.ErrFull) {
			t.Errorf("got %v", err)
		}
		if !waits(b) || !waits(a[0]) || !waits(a[1]) {
			t.Error("another one was turned away")
		}
		q.Leave("a")
		if waits(b) {
			t.Error("the other key waits")
		}
		for _, key := range []string{"b", "a", "a"} {
			q.Leave(key)
		}
		if n := q.Keys(); n != 0 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

// Never more places are taken than there are, and none is lost, whichever callers give up and when.
func TestMany(t *testing.T) {
	const places = 5
	q := fair.New(places, 50)
	var now atomic.Int64
	var all sync.WaitGroup
	for i := range 2000 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(20))*time.Millisecond)
			defer cancel()
			key := fmt.Sprint(i % 7)
			if q.Enter(ctx, key) != nil {
				return
			}
			if n := now.Add(1); n > places {
				t.Errorf("%d have a place", n)
			}
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
			now.Add(-1)
			q.Leave(key)
		})
	}
	all.Wait()
	if n := q.Keys(); n != 0 {
		t.Errorf("%d keys are remembered", n)
	}
	for i := range places {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := q.Enter(ctx, "x"); err != nil && i < places {
			t.Errorf("place %d is lost: %v", i, err)
		}
	}
}
