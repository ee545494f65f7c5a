package subscription

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// MaxListed is how many subscriptions a list has at most.
const MaxListed = 10_000

// Query says which subscriptions are asked for. Empty fields are for all.
type Query struct {
	Version          access.Version
	MatchType, Match string // MatchType exists in version 1.0
	Subscriber       string
}

func (q *Query) wants(s *Subscription) bool {
	return s.Version == q.Version && (q.Version == access.V0 || q.MatchType == "" || s.MatchType == q.MatchType) &&
		(q.Match == "" || s.Match == q.Match) && (q.Subscriber == "" || s.Subscriber == q.Subscriber)
}

// path returns the path of what is asked for. root is the path of all subscriptions.
func (q *Query) path(root string) string {
	var parts []string
	for _, part := range []string{q.MatchType, q.Match, q.Subscriber} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return Below(root, parts...)
}

// list returns the subscriptions that are asked for, ordered by subscriber: all of this node's, and those of other nodes that somebody is
// told of. more reports whether there are more than MaxListed.
func (r *Registry) list(q Query) (all []Subscription, more bool) {
	r.mu.Lock()
	for _, u := range r.log.known {
		if nodeOf(u.Subscriber) != r.node && q.wants(&u.Subscription) {
			all = append(all, u.Subscription)
		}
	}
	here := slices.Collect(maps.Values(r.subscribers))
	r.mu.Unlock()
	for _, s := range here {
		if s.version != q.Version || len(all) > 2*MaxListed {
			continue
		}
		for _, m := range s.topics.Matchers() {
			if one := (subject{s.version, m}); q.wants(one.by(s.id, nil)) {
				all = append(all, *one.by(s.id, s.grant))
			}
		}
	}
	slices.SortFunc(all, func(a, b Subscription) int {
		return cmp.Or(cmp.Compare(a.Subscriber, b.Subscriber), cmp.Compare(a.MatchType, b.MatchType), cmp.Compare(a.Match, b.Match))
	})
	return all[:min(len(all), MaxListed)], len(all) > MaxListed
}

// collection is an answer with several subscriptions.
type collection struct {
	Context       string     `json:"@context,omitempty"`
	ID            string     `json:"id"`
	Type          string     `json:"type"`
	LastEventID   string     `json:"lastEventID,omitempty"`
	Truncated     bool       `json:"truncated,omitempty"` // an addition of this hub
	Subscriptions []document `json:"subscriptions"`
}

// Path returns the path of what is asked for.
func (r *Registry) Path(q Query) string { return q.path(r.root) }

// Document returns the answer to a query; nil if it asks for a subscription that does not exist. lastEventID is that of the newest event
// that the answer takes into account, or of one before.
func (r *Registry) Document(q Query, lastEventID string) json.RawMessage {
	all, more := r.list(q)
	context := contextURL
	if q.Version == access.V1 {
		context, lastEventID = "", ""
	}
	if q.Subscriber != "" {
		if len(all) == 0 {
			return nil
		}
		d := all[0].document(r.root, true)
		d.Context, d.LastEventID = context, lastEventID
		return encode(d)
	}
	c := collection{Context: context, ID: q.path(r.root), Type: typeNames[q.Version] + "s", LastEventID: lastEventID, Truncated: more}
	c.Subscriptions = make([]document, len(all))
	for i := range all {
		c.Subscriptions[i] = all[i].document(r.root, true)
	}
	return encode(c)
}
