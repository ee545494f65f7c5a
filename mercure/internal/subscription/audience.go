package subscription

import (
	"slices"
	"time"
)

const (
	// keepTime is how long an interest lasts without a client that has it: a client that comes back within it has missed nothing.
	keepTime = 5 * time.Minute
	// maxAudience bounds the interests of this node. Past that, whatever is subscribed to is told.
	maxAudience = 1 << 14
)

// audience has the interests of clients of all nodes. Its caller guards it.
type audience struct {
	root    string
	known   map[interest]*listener
	exact   map[string]*listener   // by topic
	literal map[string][]*listener // by what stands for the match
	special []*listener            // others that may tell subscribers apart
	general []*listener            // others, in the order in which they came; those that are gone stay for a while
	gone    int                    // of general
	fresh   []*listener            // that have not been told what is active
	version int                    // changes with the interests of this node
}

// listener is an interest that somebody has.
type listener struct {
	interest
	literal  string
	here     int       // clients of this node that have it
	until    time.Time // it lasts at least until then
	own      bool      // other nodes are told of it by this one
	ownUntil time.Time // at least until then
	gone     bool
}

func newAudience(root string) audience {
	return audience{root: root, known: map[interest]*listener{}, exact: map[string]*listener{}, literal: map[string][]*listener{}}
}

// add adds an interest, or prolongs it.
func (a *audience) add(i interest, own bool, now time.Time) *listener {
	l := a.known[i]
	if l == nil {
		l = &listener{interest: i, literal: i.literal(a.root)}
		a.known[i], a.fresh = l, append(a.fresh, l)
		switch {
		case i.exact() != "":
			a.exact[i.exact()] = l
		case l.literal != "":
			a.literal[l.literal] = append(a.literal[l.literal], l)
		case i.general():
			a.general = append(a.general, l)
		default:
			a.special = append(a.special, l)
		}
	}
	l.until = now.Add(keepTime)
	if own {
		l.ownUntil = l.until
		if !l.own {
			l.own = true
			a.changed(now)
		}
	}
	return l
}

// changed gives the interests of this node a new version, which is greater than all before, those of an earlier process included.
func (a *audience) changed(now time.Time) { a.version = max(a.version+1, int(now.UnixMilli())) }

// knows reports whether all of an interest has been an interest before.
func (a *audience) knows(i interest) bool {
	for _, one := range []interest{i, {i.listened, i.listened}, {i.granted, i.granted}, everything} {
		if a.known[one] != nil {
			return true
		}
	}
	return false
}

// enter counts a client of this node that has interests, or, if it only asks, prolongs them. It reports whether some of them are new. It
// puts everything in place of those for which there is no room.
func (a *audience) enter(list []interest, stays bool, now time.Time) (fresh bool) {
	for _, i := range list {
		fresh = fresh || !a.knows(i)
	}
	for n, i := range list {
		if len(a.known) >= maxAudience && a.known[i] == nil {
			i, list[n] = everything, everything
		}
		if l := a.add(i, true, now); stays {
			l.here++
		}
	}
	return fresh
}

// leave undoes enter for some clients that have stayed, of which so many have had each interest.
func (a *audience) leave(counts map[interest]int, now time.Time) {
	for i, n := range counts {
		l := a.known[i]
		l.here -= n
		l.until, l.ownUntil = now.Add(keepTime), now.Add(keepTime)
	}
}

// expire removes the interests that nobody has had for a while.
func (a *audience) expire(now time.Time) {
	for i, l := range a.known {
		if l.own && l.here == 0 && !now.Before(l.ownUntil) {
			l.own = false
			a.changed(now)
		}
		if l.here > 0 || now.Before(l.until) {
			continue
		}
		l.gone = true
		delete(a.known, i)
		switch {
		case i.exact() != "":
			delete(a.exact, i.exact())
		case l.literal != "":
			if a.literal[l.literal] = without(a.literal[l.literal], l); len(a.literal[l.literal]) == 0 {
				delete(a.literal, l.literal)
			}
		case i.general():
			a.gone++
		default:
			a.special = without(a.special, l)
		}
	}
}

// without removes a listener from a list.
func without(list []*listener, l *listener) []*listener {
	return slices.DeleteFunc(list, func(one *listener) bool { return one == l })
}

// ownInterests returns the interests that this node tells the others.
func (a *audience) ownInterests() (list []interest) {
	for i, l := range a.known {
		if l.own {
			list = append(list, i)
		}
	}
	return list
}

// standing is what is known of a subject that subscribers of this node have.
type standing struct {
	subscribers int
	match       string // as it stands in topics
	probe       string // the topic of a subscriber who does not exist

	tried int       // how many of audience.general have been tried
	by    *listener // one of these that matches; nil if none does
}

// hears reports whether somebody is to be told of the topic of a subscription.
func (a *audience) hears(topic string, s *standing) bool {
	if a.exact[topic] != nil {
		return true
	}
	matches := func(l *listener) bool { return l.interest.match(topic) }
	if slices.ContainsFunc(a.literal[s.match], matches) || slices.ContainsFunc(a.special, matches) {
		return true
	}
	if s.by != nil && s.by.gone {
		s.tried, s.by = 0, nil
	}
	for s.by == nil && s.tried < len(a.general) {
		if l := a.general[s.tried]; !l.gone && matches(l) {
			s.by = l
		}
		s.tried++
	}
	return s.by != nil
}

// newTo reports whether somebody whose interest is new is to be told of a subject.
func (s *standing) newTo(fresh []*listener) bool {
	return slices.ContainsFunc(fresh, func(l *listener) bool {
		return (l.literal == "" || l.literal == s.match) && l.interest.match(s.probe)
	})
}

// compact forgets what is gone, and reports whether all standings are to be found out anew.
func (a *audience) compact() bool {
	if a.gone <= 1000 || a.gone < len(a.general)/2 {
		return false
	}
	a.general, a.gone = slices.DeleteFunc(a.general, func(l *listener) bool { return l.gone }), 0
	return true
}
