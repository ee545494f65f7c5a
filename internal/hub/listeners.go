package hub

// Listeners returns how many of the hub's own connections are subscribed to a topic by that name.
func (h *Hub) Listeners(topic string) int { return h.subscribers(topic) }

// Hearing returns the hub's own connections that are subscribed to a topic.
func (h *Hub) Hearing(topic string) (list []*Conn) {
	for _, s := range h.shards {
		list = append(list, s.hearing(topic)...)
	}
	return list
}
