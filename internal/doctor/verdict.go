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
	// together is the longest time between what was held back and then came at once.
	together = 50 * time.Millisecond
	// noticeable is the shortest delay that is looked into.
	noticeable = 100 * time.Millisecond
	// steady is how far apart the middle half of delays may be if they have one cause. What a busy machine or a radio link adds varies more.
	steady = 60 * time.Millisecond
	// heldProbes is how many probes of a round have to be held back, so that it is no accident.
	heldProbes = 2
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

// odd reports whether a second round is needed to tell.
func (v verdict) odd() bool { return v.held() || v.void > 0 || quickest(v.alone) > noticeable }

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

// quickest returns the shortest of the durations, or 0.
func quickest(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return slices.Min(all)
}

// delayed reports whether probes that came one by one were all held up, by a cause of its own: each took longer than a second, or each took
// as long, though an answer takes the same way much faster.
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
	slices.Sort(alone)
	return alone[len(alone)*3/4]-alone[len(alone)/4] < steady
}
