package hub

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Standing is how far a connection has come.
type Standing struct {
	Events     uint64 `json:"events"`  // events given to its stream
	Bytes      uint64 `json:"bytes"`   // their size
	Pending    int64  `json:"pending"` // bytes that wait for it
	CatchingUp bool   `json:"catching_up"`
}

// standing returns how far the connection has come. The caller holds shard.mu.
func (c *Conn) standing() Standing {
	s := Standing{Events: c.events, Bytes: c.bytes, CatchingUp: !c.live, Pending: c.catchUp.pending()}
	if c.waiting != nil {
		s.Pending += c.waiting.bytes
	}
	return s
}

// ConnectionInfo describes a connection in lists.
type ConnectionInfo struct {
	ID       string    `json:"id"`
	User     string    `json:"user"`
	Topics   []string  `json:"topics"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	Log      string    `json:"log,omitempty"` // the companion's name if the connection belongs to one: its topics are in that log
	Protocol string    `json:"protocol"`      // HTTP/1.0, HTTP/1.1, HTTP/2.0 or HTTP/3.0, as spoken to Caddy: by a proxy in front, if there is one
	Standing
}

func (c *Conn) info() ConnectionInfo {
	c.shard.mu.Lock()
	topics, standing := c.topics.list(), c.standing()
	c.shard.mu.Unlock()
	log := ""
	if h := c.shard.hub; h.accompanies() {
		log = h.Name
	}
	return ConnectionInfo{c.ID, c.User, append([]string{}, topics...), c.Remote, c.Since().UTC(), log, c.version(), standing}
}

// version returns the version of HTTP.
func (c *Conn) version() string {
	switch c.protocol {
	case 0:
		return "HTTP/1.0"
	case 1:
		return "HTTP/1.1"
	}
	return fmt.Sprintf("HTTP/%d.0", c.protocol)
}

// Filter chooses connections: those of a user, those that hear a topic, or both. An empty field chooses all. After is the next
// of an earlier list, to go on from there.
type Filter struct{ User, Topic, After string }

// Connections lists up to limit of the chosen connections, oldest first. total counts all of them, and next is where the list
// goes on. The error is about After.
func (h *Hub) Connections(f Filter, limit int) (list []ConnectionInfo, total int, next string, err error) {
	after, err := parseBookmark(f.After)
	if err != nil {
		return nil, 0, "", err
	}
	var chosen []*Conn
	for s := range h.everyShard() {
		switch {
		case f.User != "":
			for _, c := range s.list(broker.Target{Kind: broker.User, Name: f.User}) {
				if f.Topic == "" || c.hears(f.Topic) {
					chosen = append(chosen, c)
				}
			}
		case f.Topic != "":
			chosen = append(chosen, s.hearing(f.Topic)...)
		default:
			chosen = append(chosen, s.list(broker.Target{Kind: broker.Broadcast})...)
		}
	}
	chosen = slices.DeleteFunc(chosen, (*Conn).finished)
	total = len(chosen)
	chosen = firstAfter(chosen, after, limit+1)
	list = make([]ConnectionInfo, 0, min(limit, len(chosen)))
	for _, c := range chosen[:min(limit, len(chosen))] {
		list = append(list, c.info())
	}
	if limit > 0 && len(chosen) > limit {
		next = h.bookmark(chosen[limit-1]).String()
	}
	return list, total, next, nil
}

// subscribed returns the names and patterns that the connection is subscribed to.
func (c *Conn) subscribed() []string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.topics.list()
}

// hears reports whether the connection is subscribed to a topic.
func (c *Conn) hears(topic string) bool {
	c.shard.mu.Lock()
	in := c.interest()
	c.shard.mu.Unlock()
	return in.meets([]broker.Target{{Kind: broker.Topic, Name: topic}})
}

// subscribers returns how many of this node's connections are subscribed to a topic or pattern by that name.
func (h *Hub) subscribers(name string) (n int) {
	for _, s := range h.shards {
		s.mu.Lock()
		if set := s.index.names[name]; set != nil {
			n += len(set.members)
		}
		if set := s.index.byName[name]; set != nil {
			n += len(set.members)
		}
		if set := s.index.matched.names[name]; set != nil {
			n += len(set.members)
		}
		s.mu.Unlock()
	}
	return n
}

// subscribed returns what the shard's connections are subscribed to.
func (s *shard) subscribed() []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Count, 0, len(s.index.names)+len(s.index.byName))
	for name, set := range s.index.names {
		list = append(list, Count{name, len(set.members)})
	}
	for p, set := range s.index.byName {
		list = append(list, Count{p, len(set.members)})
	}
	for name, set := range s.index.matched.names {
		list = append(list, Count{name, len(set.members)})
	}
	return list
}

// hearing returns the connections that are subscribed to a topic, each once.
func (s *shard) hearing(topic string) []*Conn {
	found := map[*Conn]struct{}{}
	for _, c := range s.list(broker.Target{Kind: broker.Topic, Name: topic}) {
		found[c] = struct{}{}
	}
	return slices.Collect(maps.Keys(found))
}

// Connection returns the connection with an id on this node.
func (h *Hub) Connection(id string) (ConnectionInfo, bool) {
	if c := h.find(id); c != nil {
		return c.info(), true
	}
	return ConnectionInfo{}, false
}

// find returns the connection with an id, of the hub or of a companion; nil if there is none.
func (h *Hub) find(id string) *Conn {
	for _, one := range h.all() {
		if c := one.connection(id); c != nil {
			return c
		}
	}
	return nil
}

// connection returns the hub's own connection with an id, or nil.
func (h *Hub) connection(id string) *Conn {
	for _, s := range h.shards {
		for _, c := range s.list(broker.Target{Kind: broker.Connection, Name: id}) {
			return c
		}
	}
	return nil
}

// Open returns the connection with an id on this node, or nil if it has none, or its stream has ended.
func (h *Hub) Open(id string) *Conn {
	if c := h.find(id); c != nil && !c.Ended() {
		return c
	}
	return nil
}

// Shared reports whether there may be other nodes.
func (h *Hub) Shared() bool { return h.nodes != nil }

func (h *Hub) bookmark(c *Conn) bookmark { return bookmark{c.Since().UnixNano(), c.ID} }

// firstAfter returns the first n connections after a bookmark, oldest first. It keeps only few of them in order, so that a page
// of a hundred thousand costs less than sorting them all.
func firstAfter(conns []*Conn, after bookmark, n int) []*Conn {
	type row struct {
		bookmark
		conn *Conn
	}
	var rows []row
	cut := func() {
		slices.SortFunc(rows, func(a, b row) int { return a.compare(b.bookmark) })
		rows = rows[:min(n, len(rows))]
	}
	full := false
	for _, c := range conns {
		at := c.shard.hub.bookmark(c)
		if at.compare(after) <= 0 || full && at.compare(rows[n-1].bookmark) > 0 {
			continue
		}
		if rows = append(rows, row{at, c}); len(rows) >= 2*n {
			cut()
			full = true
		}
	}
	cut()
	first := make([]*Conn, len(rows))
	for i, r := range rows {
		first[i] = r.conn
	}
	return first
}
