package doctor

import (
	"context"
	"strings"
	"sync"
	"time"
)

// longSilence is the shortest idle timeout that proxies usually have.
const longSilence = 30 * time.Second

// idle leaves the streams idle.
func (e *examination) idle(ctx context.Context) {
	begin := time.Now()
	e.mu.Lock()
	e.idleFrom = begin
	e.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range e.all() {
		all.Go(func() {
			// An event starts the idle time anew. If events keep coming, there is no idle time to observe.
			for end := begin.Add(e.Idle); time.Now().Before(begin.Add(2 * e.Idle)); {
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
		})
	}
	all.Wait()
}

// quietSince returns when the last event came, or earliest if that is later.
func (r *record) quietSince(earliest time.Time) time.Time {
	if n := len(r.messages); n > 0 && r.messages[n-1].at.After(earliest) {
		return r.messages[n-1].at
	}
	return earliest
}

// judgeIdle adds what was found on a stream that was left idle.
func (e *examination) judgeIdle(s *stream, r *record) {
	if r.first.IsZero() {
		return
	}
	// Heartbeats since the last event.
	beats := 0
	quiet := r.quietSince(e.idleFrom)
	for _, at := range r.heartbeats {
		if at.After(quiet) {
			beats++
		}
	}
	_, expiring := r.said("sse:expiring")
	switch {
	case r.finished() && expiring:
		e.leaveOut("idle time: %s ended with its ticket or session", s.name)
	case r.finished() && !e.idleFrom.IsZero() && beats == 0 && r.ended.After(quiet):
		e.find("idle-cut", s.name, "the stream was cut after %s of silence (%s)", short(r.ended.Sub(r.last)), ending(r.err))
	case r.finished():
		if _, rejected := r.said("sse:rejected"); !rejected {
			e.find("cut", s.name, "the stream ended %s after it began, and was not idle (%s)", short(r.ended.Sub(r.asked)), ending(r.err))
		}
	case r.opaque || e.idleFrom.IsZero():
	case len(r.heartbeats) == 0 && e.Idle < longSilence && time.Since(r.last) >= e.Idle:
		e.leaveOut("heartbeats: none came in %s, which is too short a time to tell", short(e.Idle))
	case len(r.heartbeats) == 0 && time.Since(r.last) >= e.Idle:
		e.find("no-heartbeat", s.name, "nothing came for %s: no heartbeat", short(time.Since(r.last)))
	case !r.probed && clumped(r.heartbeats): // probes tell it more surely
		e.find("buffered", s.name, "heartbeats came at once, though they are sent apart")
	}
}

// ending describes how a stream ended.
func ending(err error) string {
	if err == nil {
		return "an orderly end"
	}
	text := unwrapURL(err).Error()
	if strings.Contains(text, "stream error") {
		return "the HTTP/2 stream was reset"
	}
	return text
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
