package relay

import (
	"net/http"
	"testing"
	"time"
)

// How long an upstream asks its clients to wait.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "4294967295": 4294967295 * time.Second, "Sat, 28 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Sat, 28 Nov 2026 11:00:00 GMT": -time.Hour, "-1": 0, "1.5": 0, "soon": 0, "99999999999": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

// The waits grow, and are not the same for all. What an upstream asks for is the least.
func TestPauseBeforeARetry(t *testing.T) {
	busy := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}}
	for attempt := 1; attempt <= maxRetries; attempt++ {
		step := firstRetry << (attempt - 1)
		seen := map[time.Duration]bool{}
		for range 100 {
			pause, ok := again(attempt, 1+maxRetries, busy, nil)
			if !ok || pause < step/2 || pause >= 3*step/2 {
				t.Fatalf("after attempt %d: got %s, %t", attempt, pause, ok)
			}
			seen[pause] = true
		}
		if len(seen) < 2 {
			t.Errorf("after attempt %d, the wait is always the same", attempt)
		}
	}
	if _, ok := again(1+maxRetries, 1+maxRetries, busy, nil); ok {
		t.Error("there is one attempt too many")
	}
	busy.Header.Set("Retry-After", "60")
	if pause, ok := again(1, 2, busy, nil); pause != time.Minute || !ok {
		t.Errorf("got %s, %t", pause, ok)
	}
}
