package hub

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// sweepEvery is how often those are looked for who are said to be here, and are on no node: theirs has gone.
	sweepEvery = 10 * time.Second
	// askAgain is how often it is asked whether a user who has left is on another node, which says the leave then.
	askAgain = 3
	// beats is how many reports of another node have to come before it is known to have no stream of a user: the last of
	// them was made after the first had been stored.
	beats = 2
)

// leaver is a user who seems to have left.
type leaver struct {
	asked int            // how often another node had the user
	looks int            // how often none had
	since map[string]int // how many reports the other nodes had made at first; nil: that was not asked yet
}

// sayLeaves publishes who has been away for too long. Such a user has left if every other node with a lease has reported
// since that it has no stream of the user, and none has fallen silent a short while ago.
func (a *attendance) sayLeaves(now time.Time) {
	a.mu.Lock()
	for user, since := range a.away {
		if now.Sub(since) >= a.presence.Debounce {
			delete(a.away, user)
			a.leaving[user] = &leaver{}
		}
	}
	users := slices.Collect(maps.Keys(a.leaving))
	a.mu.Unlock()
	if len(users) == 0 {
		return
	}
	nodes, err := a.others(users)
	if err != nil {
		return
	}
	a.mu.Lock()
	var left []string
	for _, user := range users {
		if l := a.leaving[user]; l != nil && l.left(user, nodes) {
			left = append(left, user)
		} else if l != nil && l.asked > askAgain {
			delete(a.leaving, user) // whoever has the user says it
		}
	}
	a.mu.Unlock()
	failed, _ := a.say("leave", left)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range left {
		if !slices.Contains(failed, user) {
			delete(a.leaving, user)
		}
	}
}

// left looks at what the other nodes have, and reports whether the user has left.
func (l *leaver) left(user string, nodes []broker.Node) bool {
	for _, o := range nodes {
		if o.Silent {
			return false
		}
	}
	for _, o := range nodes {
		if o.Counts[presentName+user] > 0 {
			l.asked++
			return false
		}
	}
	if l.since == nil {
		l.since = map[string]int{}
		for _, o := range nodes {
			l.since[o.Name] = o.Counts[beatName]
		}
	}
	l.looks++
	for _, o := range nodes {
		if since, known := l.since[o.Name]; able(o) && known && o.Counts[beatName] < since+beats || !able(o) && l.looks <= askAgain {
			return false
		}
	}
	return true
}

// others returns what the other nodes have of users. The error may be that some of them may be unknown just now.
func (a *attendance) others(users []string) ([]broker.Node, error) {
	n := a.hub.nodes
	if n == nil {
		return nil, nil
	}
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = presentName + user
	}
	ctx, cancel := context.WithTimeout(a.ctx, renewEvery)
	defer cancel()
	nodes, err := n.ask(ctx, names...)
	if err == nil && n.blinded() {
		err = broker.ErrForgotten
	}
	return nodes, err
}

// sweep looks for users who are said to be here, and are on no node. The node whose name comes first says that they have left,
// the others only if it does not.
func (a *attendance) sweep() {
	a.mu.Lock()
	missing := map[string]int{}
	for user := range a.said {
		_, here := a.here[user]
		_, away := a.away[user]
		if _, leaving := a.leaving[user]; !here && !away && !leaving {
			missing[user] = a.missing[user]
		}
	}
	a.mu.Unlock()
	nodes, err := a.others(slices.Collect(maps.Keys(missing)))
	if err != nil {
		return
	}
	sweeps := 2
	for _, o := range nodes {
		if able(o) && o.Name < a.hub.nodes.name {
			sweeps = 4
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for user := range missing {
		if slices.ContainsFunc(nodes, func(o broker.Node) bool { return o.Counts[presentName+user] > 0 }) {
			delete(missing, user)
		} else if missing[user]++; missing[user] >= sweeps {
			a.leaving[user] = &leaver{}
			delete(missing, user)
		}
	}
	a.missing = missing
}
