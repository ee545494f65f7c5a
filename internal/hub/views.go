package hub

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// ConnectionInfo is what a list says of a connection.
type ConnectionInfo struct {
	ID     string    `json:"id"`
	User   string    `json:"user"`
	Topics []string  `json:"topics"`
	Remote string    `json:"remote"`
	Since  time.Time `json:"since"`
}

func (c *Conn) info() ConnectionInfo {
	return ConnectionInfo{c.ID, c.User, append([]string{}, c.subscribed()...), c.Remote, c.Since().UTC()}
}

// Filter chooses connections: those of a user, those that hear a topic, or both. An empty field chooses all.
type Filter struct{ User, Topic string }

// Connections lists the chosen connections, oldest first, up to limit of them, and counts them all.
func (h *Hub) Connections(f Filter, limit int) (list []ConnectionInfo, total int) {
	var chosen []*Conn
	for _, s := range h.shards {
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
	slices.SortFunc(chosen, func(a, b *Conn) int {
		return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.ID, b.ID))
	})
	list = []ConnectionInfo{}
	for _, c := range chosen[:min(limit, len(chosen))] {
		list = append(list, c.info())
	}
	return list, len(chosen)
}

// subscribed are the names and patterns that the connection is subscribed to.
func (c *Conn) subscribed() []string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.topics.list()
}

// hears reports whether the connection is subscribed to a topic.
func (c *Conn) hears(topic string) bool {
	return slices.ContainsFunc(c.subscribed(), func(t string) bool { return Match(t, topic) })
}

// hearing returns the connections that are subscribed to a topic, each once.
func (s *shard) hearing(topic string) []*Conn {
	found := map[*Conn]struct{}{}
	for _, c := range s.list(broker.Target{Kind: broker.Topic, Name: topic}) {
		found[c] = struct{}{}
	}
	return slices.Collect(maps.Keys(found))
}

// Connection finds a connection by its id.
func (h *Hub) Connection(id string) (ConnectionInfo, bool) {
	if c := h.connection(id); c != nil {
		return c.info(), true
	}
	return ConnectionInfo{}, false
}

func (h *Hub) connection(id string) *Conn {
	for _, s := range h.shards {
		for _, c := range s.list(broker.Target{Kind: broker.Connection, Name: id}) {
			return c
		}
	}
	return nil
}

// Open returns the connection that has an id on this node, if its stream is open.
func (h *Hub) Open(id string) *Conn {
	if c := h.connection(id); c != nil && !c.Ended() {
		return c
	}
	return nil
}

// Shared reports whether there may be other nodes.
func (h *Hub) Shared() bool { return h.nodes != nil }
