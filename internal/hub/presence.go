package hub

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Count is how many connections a user, or a topic, has.
type Count struct {
	Name        string
	Connections int
}

// Users lists who is connected, on whichever node, by name, up to limit of those behind after, and counts them all. next
// is where the list goes on. Where presence is published, those are on it, with 0 connections, who have come and not left
// by its events: list and events are one story. The error says that the other nodes cannot be asked.
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

// Topics lists the names and patterns that connections are subscribed to, as Users does.
func (h *Hub) Topics(ctx context.Context, after string, limit int) (list []Count, total int, next string, err error) {
	all, err := h.counted(ctx, topicName, h.topics)
	if err != nil {
		return nil, 0, "", err
	}
	list, total, next = rows(all, after, limit)
	return list, total, next, nil
}

// counted adds what the other nodes have to what is here.
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

// rows are up to limit counts by name, of those behind after.
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

// User counts a user's connections, on all nodes.
func (h *Hub) User(ctx context.Context, name string) (int, error) {
	if h.nodes == nil {
		return h.UserHere(name), nil
	}
	others, err := h.nodes.others(ctx, "", userName+name)
	return others[userName+name] + h.UserHere(name), err
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
