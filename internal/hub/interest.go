package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// interest is all that a connection hears: exact targets, and patterns of topics. It is never changed, but
// replaced.
type interest struct {
	topics   []string // names and patterns
	targets  []broker.Target
	patterns []string
}

func newInterest(id, user string, topics []string) *interest {
	in := &interest{topics: topics}
	in.targets = make([]broker.Target, 0, 3+len(topics))
	in.targets = append(in.targets, broker.Target{Kind: broker.Broadcast},
		broker.Target{Kind: broker.Connection, Name: id})
	if user != "" {
		in.targets = append(in.targets, broker.Target{Kind: broker.User, Name: user})
	}
	for _, t := range topics {
		if IsPattern(t) {
			in.patterns = append(in.patterns, t)
		} else {
			in.targets = append(in.targets, broker.Target{Kind: broker.Topic, Name: t})
		}
	}
	return in
}

// set holds the connections that have one interest in common. It takes out in constant time, since each
// connection knows its place.
type set struct{ members []*Conn }

// membership is a connection's place in a set.
type membership struct {
	set   *set
	place int
}

func (s *set) add(c *Conn) {
	c.sets = append(c.sets, membership{s, len(s.members)})
	s.members = append(s.members, c)
}

func (s *set) remove(place int) {
	last := len(s.members) - 1
	moved := s.members[last]
	s.members[place] = moved
	s.members[last] = nil
	s.members = s.members[:last]
	if place != last {
		i := slices.Index(moved.sets, membership{s, last})
		moved.sets[i].place = place
	}
	if cap(s.members) > 64 && len(s.members) < cap(s.members)/4 {
		s.members = slices.Clone(s.members)
	}
}
