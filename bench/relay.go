package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// starters is how many calls that start a relay are under way at most.
const starters = 64

// relayPath is where a page hears a relay.
func relayPath(relay int) string {
	return "/events?userId=" + userName(relay) + "&relay=" + relayID(relay)
}

func relayID(relay int) string { return "r" + strconv.Itoa(relay) }

// startRelays has the app start n relays of the model's answers, one for each user, and returns how long each call took. every is the
// time between two calls, if not 0. started is called after each; it may be nil.
func (r *session) startRelays(ctx context.Context, t *target, n int, every time.Duration, started func(relay int)) (took *histogram, err error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: starters}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards took
	took = new(histogram)
	begin := time.Now()
	next := make(chan int)
	var wg sync.WaitGroup
	for range starters {
		wg.Go(func() {
			for i := range next {
				due := time.Now()
				if every > 0 {
					due = begin.Add(time.Duration(i) * every) // a call that has to wait for others is late
				}
				if err := r.startRelay(ctx, client, t, i); err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				took.add(int64(time.Since(due)))
				mu.Unlock()
				if started != nil {
					started(i)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		if every > 0 && sleep(ctx, time.Until(begin.Add(time.Duration(i)*every))) != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return took, context.Cause(ctx)
}

func (r *session) startRelay(ctx context.Context, client *http.Client, t *target, i int) error {
	call := fmt.Sprintf(`{"id": %q, "user": %q, "request": {"url": %q}, "done": %q}`,
		relayID(i), userName(i), r.model.url+modelPath(i), r.app.url+"/done")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.control+"/_sse/relays", strings.NewReader(call))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("starting a relay: status %d: %s", response.StatusCode, said)
	}
	return err
}
