package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/feed"
)

const (
	// How long a source waits before it opens its stream again; the app's `retry` counts between these. It waits twice as long each
	// time that nothing has come.
	shortestRetry = 500 * time.Millisecond
	usualRetry    = 3 * time.Second // as browsers do
	longestRetry  = time.Minute

	// logWait is how long a log that lags is waited for.
	logWait = 30 * time.Second
)

// run opens the stream, again and again for as long as somebody listens.
func (s *source) run() {
	defer s.reg.remove(s)
	if err := s.begin(); err != nil {
		s.finish(fmt.Errorf("the log is not there: %w", err))
		return
	}
	for failures := 0; s.ctx.Err() == nil; {
		end := s.open()
		s.reg.totals.count(end.outcome())
		pause, goesOn := s.next(&end, &failures)
		if !goesOn {
			if end.cause == errSlow {
				s.report("the app has not answered in time, and a source could not begin")
			}
			s.deliver(&end)
			return
		}
		if failures > 0 {
			s.report("the stream of a source has failed, and will be opened again", zap.String("reason", end.why()), zap.Duration("in", pause))
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

// ending is how an upstream request has ended.
type ending struct {
	cause   error // why the source has ended it; nil if the app has
	streams bool  // the answer was an event stream
	status  int   // of the answer; 0 if there was none
	err     error // of the next handlers
	aborted bool  // they broke off
	to      *asker
	lost    bool // the stream broke off in the middle of an event
	events  bool // some have come
	failed  error
}

// open makes an upstream request, and returns when it is over.
func (s *source) open() (end ending) {
	s.mu.Lock()
	if s.over != nil {
		s.mu.Unlock()
		return ending{cause: s.over}
	}
	v, wholeSite := s.pick()
	mark := &pass{wholeSite: wholeSite}
	var handler caddyhttp.Handler = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		s.siteOf(v).ServeHTTP(w, r)
		return nil
	})
	if !wholeSite {
		handler, mark.terms = v.next, v.terms
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(s.ctx, passKey{}, mark))
	defer cancel(nil)
	s.cancel, s.opened, s.state, s.midway, s.renew = cancel, time.Now(), Opening, false, time.Time{}
	lastID := s.lastID
	f := feed.New(s.ctx, feed.Config{
		Log: s.log, Topic: s.id, Event: int(s.terms.settings.Event), Wait: logWait, LastEventID: lastID, Stored: s.stored, Counts: &s.counts,
	})
	s.feed = f
	s.mu.Unlock()

	w := &answer{source: s, feed: f, pass: mark, header: http.Header{}}
	before := s.counts.Events.Load()
	end.err, end.aborted = s.serve(handler, w, v.request(ctx, w, lastID, wholeSite))
	end.cause = context.Cause(ctx)
	if end.err == nil && !end.aborted && end.cause == nil {
		w.WriteHeader(http.StatusOK) // as net/http does for a handler that writes nothing
	}
	w.mu.Lock()
	if w.status == 0 && end.err != nil && end.cause == nil {
		w.to = s.failedFirst()
	}
	end.streams, end.status, end.to, end.failed = w.streams, w.status, w.to, w.failed
	w.mu.Unlock()
	s.close(f, &end)
	end.events = s.counts.Events.Load() > before
	return end
}

// close ends a feed whose upstream request is over.
func (s *source) close(f *feed.Feed, end *ending) {
	end.lost = end.streams && (f.Midway() || end.failed != nil)
	if end.lost {
		_ = f.Gap("upstream")
	}
	if err := f.Close(); err != nil && end.failed == nil && !errors.Is(err, feed.ErrClosed) {
		end.failed = err
	}
	lastID, retry := f.LastEventID(), f.Retry()
	s.mu.Lock()
	defer s.mu.Unlock()
	if end.streams {
		s.lastID = lastID
		if retry > 0 {
			s.retry = retry
		}
	}
	s.midway, s.renew, s.state = false, time.Time{}, Waiting
}

// siteOf returns the site that a visitor's request is taken through.
func (s *source) siteOf(v *visitor) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.server != nil {
		return s.terms.server
	}
	return v.server
}

// serve calls the next handlers. Whatever they do must not end the process.
func (s *source) serve(h caddyhttp.Handler, w http.ResponseWriter, r *http.Request) (err error, aborted bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // by this, reverse_proxy says that an answer has broken off, or that it could not be written
			aborted = true
		default:
			aborted = true
			s.report("a handler of the site has failed", zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	return h.ServeHTTP(w, r), false
}

// next decides what follows an upstream request: another one after a pause, or the end of the source.
func (s *source) next(end *ending, failures *int) (pause time.Duration, goesOn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause, err := s.decide(end, failures)
	if err != nil {
		s.end(err)
	}
	return pause, err == nil
}

// decide does the work of next. err is why the source ends. The caller holds mu.
func (s *source) decide(end *ending, failures *int) (pause time.Duration, err error) {
	switch {
	case s.over != nil:
		return 0, s.over
	case end.cause == errUnheard && end.to == nil:
		if !s.isHeard() {
			return 0, errUnheard
		}
		s.reopened++ // somebody has come meanwhile
		return 0, nil
	case end.cause == errRenewed:
		s.reopened, *failures = s.reopened+1, 0
		return 0, nil
	case !s.known && end.cause == errSlow:
		return 0, errSlow
	case !s.known:
		return 0, errAnswered
	case !end.streams && !end.passes():
		return 0, fmt.Errorf("%w, status %d", errAnswered, end.status)
	}
	if end.streams && end.failed == nil && end.events {
		*failures = 0
	} else {
		*failures++
	}
	s.failing.Store(*failures > 0)
	s.lastErr = end.why()
	s.reopened++
	return backOff(s.retry, *failures), nil
}

// passes reports whether an answer that is no event stream may be another one later.
func (end *ending) passes() bool {
	if end.cause == errSlow {
		return true
	}
	switch end.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	if end.err != nil {
		var failure caddyhttp.HandlerError
		return !errors.As(end.err, &failure) || failure.StatusCode >= 500
	}
	return end.status == 0 || end.status >= 500
}

// why returns the reason why an upstream request is over, for operators.
func (end *ending) why() string {
	switch {
	case end.failed != nil:
		return end.failed.Error()
	case end.cause != nil:
		return end.cause.Error()
	case end.err != nil:
		return end.err.Error()
	case end.lost:
		return "it broke off in the middle of an event"
	case end.aborted:
		return "it broke off"
	case !end.streams:
		return fmt.Sprintf("the app answered with status %d", end.status)
	}
	return "the app ended it"
}

// outcome returns the label under which an upstream request is counted.
func (end *ending) outcome() string {
	switch {
	case end.cause == errSlow:
		return "slow"
	case end.streams && (end.lost || end.failed != nil || end.aborted && end.cause == nil):
		return "broken"
	case end.streams:
		return "stream"
	case end.status == 0 && end.cause != nil:
		return "left"
	case end.status == 0:
		return "error"
	}
	return "other"
}

// deliver tells the client that gets the app's first answer that this is over.
func (s *source) deliver(end *ending) {
	if end.to != nil {
		end.to.outcome <- outcome{kind: answered, err: end.err, aborted: end.aborted || end.cause != nil}
	}
}

// backOff returns how long a source waits before it opens its stream again.
func backOff(retry time.Duration, failures int) time.Duration {
	if retry == 0 {
		retry = usualRetry
	}
	d := min(max(retry, shortestRetry), longestRetry)
	for range min(failures, 10) {
		d = min(2*d, longestRetry)
	}
	return d - d/5 + rand.N(d*2/5+1)
}
