package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	probes       = 5
	probeSpacing = 200 * time.Millisecond
	// slowProbe is how late a probe may come.
	slowProbe = time.Second
)

// probe publishes events to the streams' own connections, and measures when they come.
func (e *examination) probe(ctx context.Context) {
	if e.route == nil {
		e.leaveOut("how long an event takes: give --publish and the token, so that probes can be sent")
		return
	}
	if e.log != "" {
		e.leaveOut("how long an event takes: the stream is of the log %s, to which nothing can be published", e.log)
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
	// A second round tells a buffer, which delays events always, from a machine that was busy once.
	var first []verdict
	for round := range 2 {
		verdicts, ok := e.round(ctx, round, greeted, ids)
		if !ok {
			return
		}
		suspicious := false
		for i, v := range verdicts {
			greeted[i].update(func(r *record) { r.probed, r.delay = true, v.slowest })
			suspicious = suspicious || v.suspicious()
		}
		if !suspicious {
			return
		}
		if round == 0 {
			first = verdicts
			continue
		}
		for i, v := range verdicts {
			if first[i].suspicious() && v.suspicious() {
				e.blame(ctx, greeted[i], ids[i], v)
			}
		}
	}
}

// round sends probes to all streams, and returns a verdict on each stream. ok is false if they could not be sent.
func (e *examination) round(ctx context.Context, round int, streams []*stream, ids []string) (verdicts []verdict, ok bool) {
	data := func(i int) string { return fmt.Sprintf("%s %d.%d", e.nonce, round, i) }
	sent := make([]time.Time, probes)
	tick := time.NewTicker(probeSpacing)
	defer tick.Stop()
	for i := range sent {
		sent[i] = time.Now()
		if err := e.route.publish(ctx, "connections", ids, data(i)); err != nil {
			e.lose(ctx, err)
			return nil, false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, false
		}
	}
	deadline := time.Now().Add(e.Timeout)
	for _, s := range streams {
		came := make([]time.Time, probes)
		s.waitUntil(ctx, deadline, func(r *record) bool {
			left := probes
			for i := range came {
				for _, m := range r.messages {
					if m.Data == data(i) {
						came[i] = m.at
						left--
						break
					}
				}
			}
			return left == 0 || !r.ended.IsZero()
		})
		verdicts = append(verdicts, judgeProbes(sent, came))
	}
	return verdicts, true
}

// verdict says how a round of probes went on a stream.
type verdict struct {
	missing          int
	clump            int // the most probes that came at once, though they were sent apart
	fastest, slowest time.Duration
}

func (v verdict) suspicious() bool { return v.missing > 0 || v.clump > 1 || v.fastest > slowProbe }

// judgeProbes compares when probes were sent and when they came. The zero time stands for a probe that did not come.
func judgeProbes(sent, came []time.Time) (v verdict) {
	clump := 1
	for i := range sent {
		if came[i].IsZero() {
			v.missing++
			continue
		}
		delay := came[i].Sub(sent[i])
		if v.fastest == 0 || delay < v.fastest {
			v.fastest = delay
		}
		v.slowest = max(v.slowest, delay)
		if i == 0 || came[i-1].IsZero() {
			continue
		}
		// The probe before was held back until this one was there as well.
		apart, together := sent[i].Sub(sent[i-1]), came[i].Sub(came[i-1])
		if together < apart/4 && came[i-1].Sub(sent[i-1]) > apart/2 {
			clump++
			v.clump = max(v.clump, clump)
		} else {
			clump = 1
		}
	}
	return v
}

// blame adds the finding that a stream's probes show.
func (e *examination) blame(ctx context.Context, s *stream, id string, v verdict) {
	switch {
	case !s.look().ended.IsZero():
		// The end is a finding of its own.
	case v.missing > 0:
		if _, ok, err := e.route.connection(ctx, id); err == nil && !ok {
			e.find("other-hub", s.name, "%d of %d probes did not come, and the internal route knows no such connection", v.missing, probes)
			return
		}
		e.find("buffered", s.name, "%d of %d probes had not come %s after they were published", v.missing, probes, short(e.Timeout))
	case v.clump > 1:
		e.find("buffered", s.name, "%d probes, sent %s apart, came at once; the slowest took %s", v.clump, short(probeSpacing), short(v.slowest))
	default:
		e.find("delayed", s.name, "each probe took %s or more", short(v.fastest))
	}
}

// lose gives up the internal route because of an error.
func (e *examination) lose(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	e.route = nil
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		e.find("publish-refused", "", "the internal route answers 404: the token is wrong, this host is not allowed, or it is another path")
	case errors.As(err, &refused):
		e.find("publish-refused", "", "the internal route answers %v", err)
	default:
		e.find("publish-unreachable", "", "the internal route cannot be used: %v", err)
	}
	e.leaveOut("what needs probes: none could be published")
}
