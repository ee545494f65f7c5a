package hub

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// Count is how many connections a user, or a topic, has.
type Count struct {
	Name        string
	Connections int
}

// Users lists who is connected, on whichever node, by name, up to limit of those behind after, and counts them all. next
// is where the list goes on. The error says that the other nodes cannot be asked.
func (h *Hub) Users(ctx context.Context, after string, limit int) (list []Count, total int, next string, err error) {
	return h.counts(ctx, userName, h.users, after, limit)
}

// Topics lists the names and patterns that connections are subscribed to, as Users does.
func (h *Hub) Topics(ctx context.Context, after string, limit int) (list []Count, total int, next string, err error) {
	return h.counts(ctx, topicName, h.topics, after, limit)
}

func (h *Hub) counts(ctx context.Context, prefix string, here func() map[string]int, after string, limit int) (list []Count, total int, next string, err error) {
	all := here()
	if h.nodes != nil {
		if all, err = h.nodes.list(ctx, prefix); err != nil {
			return nil, 0, "", err
		}
	}
	list = make([]Count, 0, len(all))
	for name, n := range all {
		if name > after {
			list = append(list, Count{name, n})
		}
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
	if limit > 0 && len(list) > limit {
		next = list[limit-1].Name
	}
	return list[:min(limit, len(list))], len(all), next, nil
}

// User counts a user's connections, on all nodes.
func (h *Hub) User(ctx context.Context, name string) (int, error) {
	if h.nodes != nil {
		return h.nodes.count(ctx, userName+name)
	}
	return h.UserHere(name), nil
}

// UserHere counts a user's connections on this node.
func (h *Hub) UserHere(name string) int {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return h.admission.users[name]
}

// Topic counts the connections that hear a topic, on all nodes. Where there are several, one that hears it in two ways
// counts twice.
func (h *Hub) Topic(ctx context.Context, name string) (n int, err error) {
	if h.nodes == nil {
		for _, s := range h.shards {
			n += len(s.hearing(name))
		}
		return n, nil
	}
	all, err := h.nodes.list(ctx, topicName)
	for topic, connections := range all {
		if Match(topic, name) {
			n += connections
		}
	}
	return n, err
}

// users counts this node's connections, by user.
func (h *Hub) users() map[string]int {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return maps.Clone(h.admission.users)
}

// topics counts this node's connections, by what they are subscribed to.
func (h *Hub) topics() map[string]int {
	topics := map[string]int{}
	for _, s := range h.shards {
		for _, c := range s.subscribed() {
			topics[c.Name] += c.Connections
		}
	}
	return topics
}
