package doctor

import (
	"context"
	"time"
)

const (
	// talkSpacing is the time between the events of a stream that is kept from being idle; after talkOften it is ten times as long.
	talkSpacing = time.Second
	talkOften   = 60
	// outliving is how much older a stream has to become than one that was cut, so that both cannot have met the same limit.
	outliving = 2 * time.Second
)

// talker opens a stream for events that keep it from being idle. It returns nil if there can be none.
func (e *examination) talker(ctx context.Context, route *route) (s *stream, connection string) {
	k, first := e.best()
	if route == nil || e.log != "" || first.hello() == nil {
		return nil, ""
	}
	s = e.start(ctx, k, nil)
	h := s.greeted(ctx, e.Timeout)
	if h == nil {
		return nil, ""
	}
	return s, h.Connection
}

// talk publishes events to a connection until its stream ends, or done is closed.
func (e *examination) talk(ctx context.Context, route *route, s *stream, connection string, done <-chan struct{}) {
	tick := time.NewTicker(talkSpacing)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n < talkOften || n%10 == 0 {
			_ = route.publish(ctx, "connection", connection, e.nonce+" talk") // if it fails, the stream is idle like the others
		}
		select {
		case <-tick.C:
		case <-done:
			return
		case <-s.done:
			return
		}
	}
}

// fateAt returns what cut an idle stream at an age, as a busy stream tells: it waits until the busy one is older than that, or has ended.
func (busy *stream) fateAt(ctx context.Context, age time.Duration) fate {
	busy.waitUntil(ctx, busy.look().asked.Add(age+outliving), func(r *record) bool { return !r.ended.IsZero() })
	switch r := busy.look(); {
	case r.age() >= age+outliving:
		return silenced
	case r.farewell() != "":
		return unknown
	}
	return limited
}
