package doctor

import (
	"slices"
	"time"
)

const (
	// probeSpacing is the shortest time between two probes.
	probeSpacing = 200 * time.Millisecond
	// slowProbe is how long a probe may take before the next one is sent without it.
	slowProbe = time.Second
	// together is the longest time between two probes that count as having come at once.
	together = 50 * time.Millisecond
	// noticeable is the shortest delay that is looked into.
	noticeable = 100 * time.Millisecond
	// unexplained is the delay from which on half of the probes make the doctor check whether heartbeats push them out of a buffer.
	unexplained = 250 * time.Millisecond
	// steady is how far apart the shorter half of delays may be if they have one cause. What a radio link adds varies more.
	steady = 60 * time.Millisecond
	// heldProbes is how many probes of a round have to be held back, so that it is no accident.
	heldProbes = 2
	// clearProbes is how many probes of a round have to come one by one, and none otherwise, so that nothing is held back.
	clearProbes = 3
)

// sample is a probe on one stream.
type sample struct {
	sent   time.Time
	stored time.Time // when the hub answered that it has the probe
	came   time.Time // zero if it did not
	void   bool      // the hub or this machine was so busy at that moment that the time says nothing
}

// verdict says how a round of probes went on a stream.
type verdict struct {
	missing int
	pushed  int             // probes that came late, at once with what the hub sent later: that pushed them out of a buffer
	void    int             // probes that say nothing
	alone   []time.Duration // how long the others took, from when the hub had them
	slowest time.Duration   // from when it was sent
}

// held reports whether bytes were held back. That is never only a matter of time: what is held back comes with the bytes that follow, or not at
// all.
func (v verdict) held() bool { return v.missing+v.pushed >= heldProbes }

// clear reports whether nothing was held back.
func (v verdict) clear() bool { return v.missing+v.pushed == 0 && len(v.alone) >= clearProbes }

// verdicts are those of all rounds on a stream. A second round tells a buffer, which always holds bytes back, from an accident.
type verdicts []verdict

// count returns how many verdicts are of a kind.
func (all verdicts) count(kind func(verdict) bool) (n int) {
	for _, v := range all {
		if kind(v) {
			n++
		}
	}
	return n
}

// held reports whether bytes were held back.
func (all verdicts) held() bool { return all.count(verdict.held) > 1 && all.count(verdict.clear) == 0 }

// certain reports whether no further round is needed.
func (all verdicts) certain() bool {
	prompt := all.count(verdict.clear) == len(all) && median(all.alone()) <= noticeable
	return prompt || all.count(verdict.held) > 1 || all.count(verdict.clear) > 1
}

// slow reports whether probes came one by one, and not soon.
func (all verdicts) slow() bool { return !all.held() && median(all.alone()) > unexplained }

// alone returns how long the probes took that came one by one.
func (all verdicts) alone() (took []time.Duration) {
	for _, v := range all {
		took = append(took, v.alone...)
	}
	return took
}

// worst returns the last verdict by which bytes were held back, or else the last one.
func (all verdicts) worst() (worst verdict) {
	for _, v := range all {
		if v.held() || !worst.held() {
			worst = v
		}
	}
	return worst
}

// judgeProbes compares when probes were sent and when they came. Each was sent when the one before had come, or had taken too long.
func judgeProbes(samples []sample, heartbeats []time.Time) (v verdict) {
	for i, p := range samples {
		if !p.came.IsZero() {
			v.slowest = max(v.slowest, p.came.Sub(p.sent))
		}
		switch {
		case p.void:
			v.void++
		case p.came.IsZero():
			v.missing++
		case p.came.Sub(p.stored) > noticeable && (followed(p.came, heartbeats) || pushedOut(samples[i:])):
			v.pushed++
		default:
			v.alone = append(v.alone, max(0, p.came.Sub(p.stored)))
		}
	}
	return v
}

// pushedOut reports whether the first probe came when a later one had just been sent, or at once with it.
func pushedOut(samples []sample) bool {
	p := samples[0]
	return slices.ContainsFunc(samples[1:], func(next sample) bool {
		return next.sent.Before(p.came) && (p.came.Sub(next.sent) < 3*together || !next.came.IsZero() && next.came.Sub(p.came) < together)
	})
}

// followed reports whether a heartbeat came at once with something that came before it.
func followed(at time.Time, heartbeats []time.Time) bool {
	return slices.ContainsFunc(heartbeats, func(beat time.Time) bool { return !beat.Before(at) && beat.Sub(at) < together/5 })
}

// median returns the duration in the middle, or 0.
func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// quickest returns the shortest of the durations, or 0.
func quickest(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Min(all)
}

// delayed reports whether all probes that came one by one were held up by the same cause: each took longer than a second, or all took
// equally long, although an ordinary answer is much faster on the same way.
func delayed(alone []time.Duration, roundTrip time.Duration) bool {
	least := quickest(alone)
	switch {
	case len(alone) < 6:
		return false // too few to tell
	case least > slowProbe:
		return true
	case least < noticeable || roundTrip == 0 || least < 3*roundTrip:
		return false
	}
	return median(alone)-least < steady
}
