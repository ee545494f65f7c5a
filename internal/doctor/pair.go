package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	pairs = 6
	// pairSpacing is the time between the probes of a pair.
	pairSpacing = 60 * time.Millisecond
)

// pairing has the times that probes took on a stream: probes on their own, and probes that another one followed at once.
type pairing struct{ lone, led []time.Duration }

// pushed reports whether probes wait for what follows: on their own they take long, but with a follower only until that is sent.
func (p pairing) pushed() bool {
	return len(p.lone) == pairs && len(p.led) == pairs && median(p.lone) > unexplained &&
		median(p.led) < 2*pairSpacing && slices.Max(p.led) < slices.Min(p.lone) // of six each, that is rarely an accident
}

// pair sends probes by themselves and in pairs, by turns. If heartbeats are frequent, this tells a buffer from a slow network: a heartbeat
// pushes out what a buffer holds, so that nothing is held for long.
func (e *examination) pair(ctx context.Context, streams []*stream, ids []string) (took []pairing, ok bool) {
	took = make([]pairing, len(streams))
	for i := range pairs {
		for _, led := range []bool{false, true} {
			data := fmt.Sprintf("%s pair %d %v", e.nonce, i, led)
			if err := e.route.publish(ctx, "connections", ids, data); err != nil {
				e.lose(ctx, err)
				return nil, false
			}
			stored := time.Now()
			if led {
				pause(ctx, pairSpacing)
				if err := e.route.publish(ctx, "connections", ids, data+" follower"); err != nil {
					e.lose(ctx, err)
					return nil, false
				}
			}
			for j, s := range streams {
				s.waitUntil(ctx, stored.Add(min(2*slowProbe, e.Timeout)), has(data))
				at := s.look().cameAt(data)
				switch {
				case at.IsZero():
				case led:
					took[j].led = append(took[j].led, max(0, at.Sub(stored)))
				default:
					took[j].lone = append(took[j].lone, max(0, at.Sub(stored)))
				}
			}
			pause(ctx, probeSpacing)
		}
	}
	return took, ctx.Err() == nil
}

// pause waits.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
