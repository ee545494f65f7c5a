package hub

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Count is the number of connections of a user, or to a topic.
type Count struct {
	Name        string
	Connections int
}

// Users lists the users connected to any node, by name: up to limit of those after a name. total counts all of them, and next
// is the name to go on from. If the hub publishes presence, users who are present by those events are on the list as well, with
// 0 connections, so that list and events agree. The error says that the other nodes cannot be asked.
func (h *Hub) Users(ctx context.Context, after string, limit int) (list []Count, total int, next string, err error) {
	all, err := h.counted(ctx, userName, h.users)
	if err != nil {
		return nil, 0, "", err
	}
	for _, user := range h.who.present() {
		all[user] += 0
	}
	list, total, next = rows(all, after, limit)
	return list, total, next, nil
}

// Topics lists the names and patterns that connections are subscribed to, in the way of Users.
func (h *Hub) Topics(ctx context.Context, after string, limit int) (list []Count, total int, next string, err error) {
	all, err := h.counted(ctx, topicName, h.topics)
	if err != nil {
		return nil, 0, "", err
	}
	list, total, next = rows(all, after, limit)
	return list, total, next, nil
}

// counted adds the counts of the other nodes to those of this one.
func (h *Hub) counted(ctx context.Context, prefix string, here func() map[string]int) (map[string]int, error) {
	if h.nodes == nil {
		return here(), nil
	}
	all, err := h.nodes.others(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for name, n := range here() {
		all[name] += n
	}
	return all, nil
}

// rows returns up to limit counts, by name, of those after a name.
func rows(all map[string]int, after string, limit int) (list []Count, total int, next string) {
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
	return list[:min(limit, len(list))], len(all), next
}

// User returns the number of a user's connections, on all nodes.
func (h *Hub) User(ctx context.Context, name string) (int, error) {
	if h.nodes == nil {
		return h.UserHere(name), nil
	}
	others, err := h.nodes.others(ctx, "", userName+name)
	return others[userName+name] + h.UserHere(name), err
}

// UserHere returns the number of a user's connections on this node.
func (h *Hub) UserHere(name string) int {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return h.admission.users[name]
}

// Topic returns the number of connections that hear a topic, on all nodes. On other nodes, a connection that hears it in two
// ways counts twice.
func (h *Hub) Topic(ctx context.Context, name string) (n int, err error) {
	if h.nodes != nil {
		all, err := h.nodes.others(ctx, topicName)
		if err != nil {
			return 0, err
		}
		for topic, connections := range all {
			if rules.Match(topic, name) {
				n += connections
			}
		}
	}
	for _, s := range h.shards {
		n += len(s.hearing(name))
	}
	return n, nil
}

// users returns the number of this node's connections for each user.
func (h *Hub) users() map[string]int {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return maps.Clone(h.admission.users)
}

// topics returns the number of this node's connections for each name or pattern that they are subscribed to.
func (h *Hub) topics() map[string]int {
	topics := map[string]int{}
	for _, s := range h.shards {
		for _, c := range s.subscribed() {
			topics[c.Name] += c.Connections
		}
	}
	return topics
}
