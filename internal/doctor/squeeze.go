package doctor

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// paddingEvent is the size of an event that pushes others out of a buffer.
	paddingEvent = 8 << 10
	// maxPadding is how many bytes of such events are sent at most.
	maxPadding = 512 << 10
	// entries is how many times a stream is opened to find its connection at the hub.
	entries = 3
	// gaveUp is the shortest time that a gateway waits for an answer; one that waits only for a connection gives up earlier.
	gaveUp = time.Second
)

// account is what the hub knows of the client of a connection. All streams of an examination have the same.
type account struct{ user, remote string }

// arrivals are the ids of connections that the hub has accepted meanwhile.
type arrivals map[account][]string

// squeeze opens a stream of a kind that has delivered nothing yet, and finds its connection at the hub. It has the hub send padding to that
// connection, until the buffer in between overflows. It returns the stream and its first event, or nil if nothing came.
func (e *examination) squeeze(ctx context.Context, k kind, limit time.Duration) (*stream, *hello) {
	var ours arrivals // of the accounts that came each time
	for i := range entries {
		before, ok := e.route.connections(ctx)
		if !ok {
			e.leaveOut("whether bytes are held back on their way: the hub's connections cannot all be listed")
			return nil, nil
		}
		s := e.start(ctx, k, nil)
		if h := s.greeted(ctx, limit); h != nil || s.look().bytes > 0 || ctx.Err() != nil {
			return s, h
		}
		came := e.arrived(ctx, before)
		for deadline := time.Now().Add(e.Timeout); len(came) == 0 && s.look().ended.IsZero() && time.Now().Before(deadline); {
			pause(ctx, probeSpacing)
			came = e.arrived(ctx, before)
			if ctx.Err() != nil {
				return s, nil
			}
		}
		if i > 0 {
			maps.DeleteFunc(came, func(a account, _ []string) bool { return ours[a] == nil })
		}
		ours = came
		ids := slices.Concat(slices.Collect(maps.Values(ours))...)
		switch {
		case len(ours) == 0:
			s.leave()
			e.miss(before)
			return nil, nil
		case i > 0 && len(ids) == 1: // the first time, it may be another's
			e.hold("the hub has accepted the connection and sent its first event")
			return s, e.push(ctx, s, ids[0])
		}
		s.leave()
	}
	// Others connect at the same moments. They are told apart by a time in which nothing is opened.
	before, _ := e.route.connections(ctx)
	pause(ctx, limit)
	others := e.arrived(ctx, before)
	maps.DeleteFunc(ours, func(a account, _ []string) bool { return others[a] != nil })
	if len(ours) > 0 {
		e.hold("the hub has accepted a connection each time")
	} else {
		e.leaveOut("whether bytes are held back on their way: not sure, as others connect all the time")
	}
	return nil, nil
}

// miss records that requests do not reach the hub, if the hub has no other connections than those opened there directly. Any other
// connection may belong to an earlier stream, for which the proxy lets later ones wait.
func (e *examination) miss(present map[string]connection) {
	there := 0
	for _, s := range e.hub {
		if h := s.look().hello(); h != nil {
			if _, ok := present[h.Connection]; ok {
				there++
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missed = there == len(present)
}

// arrived returns the hub's connections that were not there before.
func (e *examination) arrived(ctx context.Context, before map[string]connection) arrivals {
	came := arrivals{}
	now, _ := e.route.connections(ctx)
	for id, c := range now {
		if _, old := before[id]; !old {
			a := account{c.User, c.Remote}
			came[a] = append(came[a], id)
		}
	}
	return came
}

// hold records what proves that bytes are held back.
func (e *examination) hold(proof string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = proof
}

// push has the hub send padding to a connection, and returns the first event that comes then, or nil.
func (e *examination) push(ctx context.Context, s *stream, id string) *hello {
	waited := time.Since(s.look().asked)
	sent := 0
	for sent < maxPadding && s.look().bytes == 0 && s.look().ended.IsZero() {
		if err := e.route.publish(ctx, "connection", id, padding()); err != nil {
			return nil
		}
		sent += paddingEvent
		s.wait(ctx, probeSpacing, func(r *record) bool { return r.bytes > 0 || !r.ended.IsZero() })
	}
	h := s.greeted(ctx, e.Timeout)
	if h == nil || h.Connection != id {
		return nil
	}
	e.find("buffered", s.name, "nothing came for %s; the first bytes came when the hub had sent %d KiB more", short(waited), sent>>10)
	return h
}

// padding returns text that compression does not shorten much.
func padding() string {
	var b strings.Builder
	for b.Len() < paddingEvent {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// turnedAway reports whether a gateway gave up: it answered, but had waited for an answer itself.
func (r *record) turnedAway() bool { return r.status >= 502 && r.status <= 504 }

// gateways finds out, if no stream was let in and gateways gave up, whether the hub had accepted the connections.
func (e *examination) gateways(ctx context.Context) {
	if e.route == nil {
		return
	}
	for _, s := range e.public {
		r := s.look()
		took := r.headers.Sub(r.asked)
		if !r.turnedAway() || took < gaveUp {
			continue
		}
		if s, _ := e.squeeze(ctx, s.kind, took/2); s != nil {
			s.leave()
		}
		return
	}
}
