package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// index finds the connections of a shard by what they hear. A connection with a user and no topics takes two small entries. The
// shard's lock guards it.
type index struct {
	all      []*Conn
	ids      map[string]*Conn
	users    map[string]*Conn // the first of a list linked by Conn.next
	names    map[string]*set  // by topic
	patterns tree[*set]
	byName   map[string]*set // patterns, by name
}

func newIndex() index {
	return index{ids: map[string]*Conn{}, users: map[string]*Conn{}, names: map[string]*set{}, byName: map[string]*set{}}
}

// visit calls f for each connection that hears a target. A connection that hears a topic in several ways comes several times.
func (x *index) visit(t broker.Target, f func(*Conn)) {
	switch t.Kind {
	case broker.Broadcast:
		for _, c := range x.all {
			f(c)
		}
	case broker.Connection:
		if c := x.ids[t.Name]; c != nil {
			f(c)
		}
	case broker.User:
		for c := x.users[t.Name]; c != nil; c = c.next {
			f(c)
		}
	case broker.Topic:
		if set := x.names[t.Name]; set != nil {
			set.visit(f)
		}
		x.patterns.covering(t.Name, func(set *set) { set.visit(f) })
	}
}

// gone is the place of a connection that is not in the index.
const gone = -1

func (x *index) add(c *Conn) {
	c.place = int32(len(x.all))
	x.all = append(x.all, c)
	switch same := x.ids[c.ID]; {
	case same == nil:
		x.ids[c.ID] = c
	case same.claimed().since(c.claimed()):
		c.finish(superseded)
	default:
		same.finish(superseded)
		x.ids[c.ID] = c
	}
	if c.User != "" {
		if c.next = x.users[c.User]; c.next != nil {
			c.next.prev = c
		}
		x.users[c.User] = c
	}
	x.subscribe(c)
}

func (x *index) remove(c *Conn) {
	last := x.all[len(x.all)-1]
	x.all[c.place], last.place = last, c.place
	x.all = shorten(x.all)
	c.place = gone
	if x.ids[c.ID] == c {
		delete(x.ids, c.ID)
	}
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case c.next != nil:
		x.users[c.User] = c.next
	default:
		delete(x.users, c.User)
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	x.unsubscribe(c)
}

// subscribe puts a connection into the sets of its topics.
func (x *index) subscribe(c *Conn) {
	for _, name := range c.topics.exact() {
		if x.names[name] == nil {
			x.names[name] = &set{}
		}
		x.names[name].add(c)
	}
	for _, p := range c.topics.patterned() {
		if x.byName[p] == nil {
			x.byName[p] = &set{}
			x.patterns.put(p, x.byName[p])
		}
		x.byName[p].add(c)
	}
}

func (x *index) unsubscribe(c *Conn) {
	for _, m := range c.sets {
		m.set.remove(m.place)
	}
	c.sets = nil
	for _, name := range c.topics.exact() {
		if len(x.names[name].members) == 0 {
			delete(x.names, name)
		}
	}
	for _, p := range c.topics.patterned() {
		if len(x.byName[p].members) == 0 {
			delete(x.byName, p)
			x.patterns.remove(p)
		}
	}
}

// set holds the connections that have one topic in common. Each connection knows its place, so that removing one takes constant
// time.
type set struct{ members []*Conn }

// setPlace is a connection's place in a set.
type setPlace struct {
	set   *set
	place int
}

func (s *set) visit(f func(*Conn)) {
	for _, c := range s.members {
		f(c)
	}
}

func (s *set) add(c *Conn) {
	if c.sets == nil {
		c.sets = make([]setPlace, 0, len(c.topics.all))
	}
	c.sets = append(c.sets, setPlace{s, len(s.members)})
	s.members = append(s.members, c)
}

func (s *set) remove(place int) {
	last := len(s.members) - 1
	moved := s.members[last]
	s.members[place] = moved
	if place != last {
		i := slices.Index(moved.sets, setPlace{s, last})
		moved.sets[i].place = place
	}
	s.members = shorten(s.members)
}

// shorten removes the last element, and gives back room that is no longer needed.
func shorten(members []*Conn) []*Conn {
	last := len(members) - 1
	members[last] = nil
	members = members[:last]
	if cap(members) > 64 && last < cap(members)/4 {
		members = slices.Clone(members)
	}
	return members
}
