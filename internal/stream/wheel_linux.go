package stream

import "time"

const (
	// tick is the resolution of heartbeats and timeouts.
	tick = 250 * time.Millisecond
	// buckets is the size of the wheel: a little more than a minute.
	buckets = 256
	// longAway is how many ticks a loop may be late. If it is later than that, it had no streams, or the process was suspended:
	// that time does not count as its clients' silence.
	longAway = 20
)

// wheel keeps held streams by the time of their next look.
type wheel struct {
	buckets [buckets]*held // each a list of the streams whose due tick has its remainder
	start   time.Time      // of tick 0
	now     uint32         // the current tick
}

// ticks returns a duration in ticks, at least one.
func ticks(d time.Duration) uint32 { return uint32(max(1, min(d/tick, 1<<30))) }

// turn moves the wheel on to the present, and calls look for each stream that is due. look either schedules it again or closes it.
func (w *wheel) turn(look func(*held)) {
	now := uint32(time.Since(w.start)/tick) + 1
	if away := now - w.now; away > longAway {
		w.start = w.start.Add(time.Duration(away-1) * tick)
		now = w.now + 1
	}
	for w.now != now {
		w.now++
		for s := w.buckets[w.now%buckets]; s != nil; {
			following := s.next
			if int32(s.due-w.now) <= 0 {
				w.unlink(s)
				look(s)
			}
			s = following
		}
	}
}

// schedule puts a stream into the bucket of its next look.
func (w *wheel) schedule(s *held) {
	timeout := s.timeout()
	wait := ticks(s.timing.Heartbeat())
	if s.blocked {
		wait = timeout
	}
	wait -= min(wait, w.now-s.wrote)
	s.due = w.now + max(1, min(wait, timeout/4+1, ticks(longestWait)))
	b := &w.buckets[s.due%buckets]
	s.prev, s.next = nil, *b
	if *b != nil {
		(*b).prev = s
	}
	*b = s
}

// unlink takes a stream out of its bucket.
func (w *wheel) unlink(s *held) {
	if s.prev != nil {
		s.prev.next = s.next
	} else if b := &w.buckets[s.due%buckets]; *b == s {
		*b = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}
