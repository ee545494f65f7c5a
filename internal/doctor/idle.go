package doctor

import (
	"context"
	"sync"
	"time"
)

// longSilence is the shortest idle timeout that proxies usually have.
const longSilence = 30 * time.Second

// span is how long the streams are left to themselves.
func (e *examination) span() time.Duration { return max(e.Idle, e.For) }

// idle leaves the streams idle. Another one is kept busy, for comparison, and one is left.
func (e *examination) idle(ctx context.Context, route *route) {
	begin := time.Now()
	e.mu.Lock()
	e.idleFrom = begin
	e.mu.Unlock()
	done := make(chan struct{})
	var idle, beside sync.WaitGroup
	defer beside.Wait()
	defer close(done)
	beside.Go(func() { e.ghost(ctx, route, done) })
	busy, connection := e.talker(ctx, route)
	if busy != nil {
		beside.Go(func() { e.talk(ctx, route, busy, connection, done) })
	}
	for _, s := range e.all() {
		idle.Go(func() { e.await(ctx, s, begin) })
	}
	idle.Wait()
	e.compare(ctx, busy)
}

// await waits until a stream has ended or has been idle for long enough.
func (e *examination) await(ctx context.Context, s *stream, begin time.Time) {
	// An event starts the idle time anew. If events keep coming, there is no idle time to observe.
	for end := begin.Add(e.span()); time.Now().Before(begin.Add(2 * e.span())); {
		if s.waitUntil(ctx, end, func(r *record) bool { return !r.ended.IsZero() }) || ctx.Err() != nil {
			return
		}
		next := s.look().quietSince(begin).Add(e.Idle)
		if !next.After(end) {
			return
		}
		end = next
	}
	e.leaveOut("whether an idle stream is cut: %s was never idle", s.name)
}

// compare finds out whether streams that ended in silence met a limit of a whole answer: then one that was busy ends at the same age.
func (e *examination) compare(ctx context.Context, busy *stream) {
	var oldest time.Duration
	cut := false
	for _, s := range e.public {
		r := s.look()
		oldest = max(oldest, r.age())
		if !r.finished() || e.farewell(r) != "" || ctx.Err() != nil {
			continue
		}
		cut = true
		if busy == nil {
			continue
		}
		why := busy.fateAt(ctx, r.age())
		s.update(func(r *record) { r.fate = why })
	}
	switch {
	case e.For == 0:
		e.leaveOut("whether a stream is cut after more than %s: give --for 20m", short(oldest))
	case !cut:
		e.leaveOut("whether a stream is cut after more than %s", short(oldest))
	}
	if busy == nil || cut {
		return
	}
	if r := busy.look(); r.finished() && e.farewell(r) == "" {
		e.find("cut", busy.name, "a stream ended %s after it began, and was not idle (%s)", short(r.age()), ending(r.err))
	}
}

// judgeIdle adds what was found on a stream that was left idle.
func (e *examination) judgeIdle(s *stream, r *record) {
	if r.first.IsZero() {
		return
	}
	if r.finished() {
		if _, rejected := r.said("sse:rejected"); !rejected {
			e.judgeEnd(s, r)
		}
		return
	}
	switch {
	case r.opaque || e.idleFrom.IsZero():
	case len(r.heartbeats) == 0 && e.Idle < longSilence && time.Since(r.last) >= e.Idle:
		e.leaveOut("heartbeats: none came in %s, which is too short a time to tell", short(e.Idle))
	case len(r.heartbeats) == 0 && time.Since(r.last) >= e.Idle:
		e.find("no-heartbeat", s.name, "nothing came for %s: no heartbeat", short(time.Since(r.last)))
	case !r.probed && clumped(r.heartbeats): // probes tell it more surely
		e.find("buffered", s.name, "heartbeats came at once, though they are sent apart")
	}
}

// clumped reports whether heartbeats came at once, none of them by itself. There must be three or more, since one or two may have been late.
func clumped(beats []time.Time) bool {
	near := func(i, j int) bool { return j >= 0 && j < len(beats) && beats[i].Sub(beats[j]).Abs() < together }
	for i := range beats {
		if !near(i, i-1) && !near(i, i+1) {
			return false
		}
	}
	return len(beats) > 2
}
