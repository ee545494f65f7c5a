package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	probes    = 5
	maxRounds = 4
	// promptAnswer is how long the hub takes to answer a question if neither it nor this machine is too busy.
	promptAnswer = 300 * time.Millisecond
)

// patience is how long each probe is waited for, in tenths. It differs, so that a probe that comes when the next one is sent does so by no
// accident, however steady its delay is.
var patience = [probes]time.Duration{10, 13, 7, 16, 10}

// probe publishes events to the streams' own connections, and measures when they come.
func (e *examination) probe(ctx context.Context) {
	if e.route == nil {
		e.leaveOut("how long an event takes: give --publish and the token, so that probes can be sent")
		return
	}
	if e.log != "" {
		e.leaveOut("how long an event takes: the stream belongs to the log %s, to which nothing can be published", e.log)
		return
	}
	var greeted []*stream
	var ids []string
	for _, s := range e.all() {
		if h := s.look().hello(); h != nil {
			greeted, ids = append(greeted, s), append(ids, h.Connection)
		}
	}
	if len(greeted) == 0 {
		e.leaveOut("how long an event takes: no stream has said its connection's id")
		return
	}
	all := make([]verdicts, len(greeted))
	for round := range maxRounds {
		found, ok := e.round(ctx, round, greeted, ids)
		if !ok {
			return
		}
		certain := true
		for i, v := range found {
			all[i] = append(all[i], v)
			certain = certain && all[i].certain()
		}
		if certain {
			break
		}
	}
	paired := make([]pairing, len(greeted))
	if slices.ContainsFunc(all, verdicts.slow) {
		var ok bool
		if paired, ok = e.pair(ctx, greeted, ids); !ok {
			return
		}
	}
	var roundTrip time.Duration
	if slices.ContainsFunc(all, func(v verdicts) bool { return len(v) > 1 }) {
		roundTrip = e.roundTrip(ctx)
	}
	for i, s := range greeted {
		if paired[i].pushed() {
			e.find("buffered", s.name, "a probe on its own took %s; one that another followed at once took %s", short(median(paired[i].lone)), short(median(paired[i].led)))
			continue
		}
		e.blame(ctx, s, ids[i], all[i], roundTrip)
	}
}

// round sends probes to all streams, one by one, and returns a verdict on each stream. ok is false if they could not be sent.
func (e *examination) round(ctx context.Context, round int, streams []*stream, ids []string) (found []verdict, ok bool) {
	samples := make([][]sample, len(streams))
	data := func(i int) string { return fmt.Sprintf("%s %d.%d", e.nonce, round, i) }
	tick := time.NewTicker(probeSpacing)
	defer tick.Stop()
	for i := range probes {
		p := sample{sent: time.Now()}
		if err := e.route.publish(ctx, "connections", ids, data(i)); err != nil {
			e.lose(ctx, err)
			return nil, false
		}
		p.stored = time.Now()
		deadline := p.stored.Add(min(slowProbe, e.Timeout/2) * patience[i] / 10)
		for j, s := range streams {
			mine := p
			if !s.waitUntil(ctx, deadline, has(data(i))) {
				mine.void = !e.attentive(ctx, s, ids[j], data(i))
			}
			samples[j] = append(samples[j], mine)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, false
		}
	}
	deadline := time.Now().Add(e.Timeout)
	for j, s := range streams {
		for i := range probes {
			s.waitUntil(ctx, deadline, has(data(i)))
		}
		r := s.look()
		for i := range samples[j] {
			samples[j][i].came = r.cameAt(data(i))
		}
		v := judgeProbes(samples[j], r.heartbeats)
		s.update(func(r *record) { r.probed, r.delay = true, v.slowest })
		found = append(found, v)
	}
	return found, true
}

// attentive reports whether the hub answers at once while a probe does not come. Then neither it nor this machine is the reason. If they are
// busy, it gives them time.
func (e *examination) attentive(ctx context.Context, s *stream, id, data string) bool {
	for range 4 {
		asked := time.Now()
		_, _, err := e.route.connection(ctx, id)
		if err == nil && time.Since(asked) < promptAnswer {
			return true
		}
		if err != nil || s.wait(ctx, slowProbe, has(data)) {
			return err == nil
		}
	}
	return false
}

// blame adds the finding that rounds of probes show on a stream.
func (e *examination) blame(ctx context.Context, s *stream, id string, all verdicts, roundTrip time.Duration) {
	alone := all.alone()
	switch v := all.worst(); {
	case !s.look().ended.IsZero():
		// The end is a finding of its own.
	case all.held() && v.missing > 0:
		if _, ok, err := e.route.connection(ctx, id); err == nil && !ok {
			e.find("other-hub", s.name, "%d of %d probes did not come, and the internal route knows no such connection", v.missing, probes)
			return
		}
		e.find("buffered", s.name, "%d of %d probes had not come %s after they were published", v.missing, probes, short(e.Timeout))
	case all.held():
		e.find("buffered", s.name, "%d of %d probes came only with the bytes that followed; the slowest took %s", v.pushed, probes, short(v.slowest))
	case v.held():
		e.leaveOut("whether bytes are held back on %s: not sure, as only %d of %d probes were", s.name, v.missing+v.pushed, probes)
	case delayed(alone, roundTrip):
		e.find("delayed", s.name, "each probe took %s or more, though an ordinary answer takes %s", short(quickest(alone)), short(roundTrip))
	case len(alone) < clearProbes:
		e.leaveOut("how long an event takes on %s: not sure, as the hub or this machine is too busy", s.name)
	}
}
