package relay

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// List implements pool.Relayer.
func (r *Registry) List(ctx context.Context, f pool.RelayFilter, limit int) (rows []pool.Relay, total int, next string, err error) {
	if err := r.await(ctx); err != nil {
		return nil, 0, "", err
	}
	chosen := r.choose(f)
	slices.SortFunc(chosen, func(a, b *known) int { return cmp.Or(b.since.Compare(a.since), cmp.Compare(b.id, a.id)) })
	total = len(chosen)
	if f.After != "" {
		at, listed := slices.BinarySearchFunc(chosen, f.After, func(k *known, after string) int { return cmp.Compare(after, k.place()) })
		if listed {
			at++
		}
		chosen = chosen[at:]
	}
	if len(chosen) > limit {
		chosen = chosen[:limit]
		next = chosen[limit-1].place()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rows = make([]pool.Relay, 0, len(chosen))
	for _, k := range chosen {
		rows = append(rows, r.info(k))
	}
	return rows, total, next, nil
}

// choose returns the relays that a filter chooses, in no order.
func (r *Registry) choose(f pool.RelayFilter) (chosen []*known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.index.relays {
		if (f.User == "" || k.User == f.User) && (f.Status == "" || string(k.end) == f.Status) {
			chosen = append(chosen, k)
		}
	}
	return chosen
}

// place returns a text that sorts relays by their begin.
func (k *known) place() string { return fmt.Sprintf("%020d-%s", k.since.UnixNano(), k.id) }

// Find implements pool.Relayer.
func (r *Registry) Find(ctx context.Context, id string) (pool.Relay, bool, error) {
	if err := r.await(ctx); err != nil {
		return pool.Relay{}, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.index.relays[id]
	if k == nil {
		return pool.Relay{}, false, nil
	}
	return r.info(k), true, nil
}

// info describes a relay. The caller holds mu.
func (r *Registry) info(k *known) pool.Relay {
	i := pool.Relay{
		ID: k.id, User: k.User, Topic: k.Topic, Status: string(k.end), Since: k.since, Listeners: r.hearing[k.id], Events: k.events, Bytes: k.bytes,
		HTTPStatus: k.outcome.Status, Headers: k.outcome.Headers, Error: k.outcome.Error, Body: k.outcome.Body,
	}
	if k.end != Running {
		i.Ended = &k.at
	}
	if k.outcome.Attempts > 1 {
		i.Attempts = k.outcome.Attempts
	}
	switch {
	case k.begin.Done == "" || k.end == Running:
	case k.taken:
		i.Done = "taken"
	default:
		i.Done = "pending"
	}
	return i
}

// Stats implements pool.Relayer.
func (r *Registry) Stats() pool.RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.totals.Clone()
	stats.Running, stats.Untold = len(r.runs), len(r.due)
	for _, x := range r.runs {
		take(&stats, &x.counts)
	}
	return stats
}
