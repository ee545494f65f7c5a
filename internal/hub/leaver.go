package hub

import (
	"context"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// sweepEvery is how often a node looks for users who are present according to the log, but on no node, as their node has
	// gone.
	sweepEvery = 10 * time.Second
	// askAgain is how often other nodes are asked about a user who has left here. If one of them has the user, it publishes the
	// leave in its turn.
	askAgain = 3
	// beats is how many more reports of another node it takes to know that it has no stream of a user: the last of them was
	// begun after the first was stored.
	beats = 2
)

// leaver is the search for a user who seems to have left.
type leaver struct {
	asked int            // times that another node had the user
	looks int            // times that none had
	since map[string]int // by node, the number of reports it had made at first; nil before that
}

// sayLeaves publishes the leaves that are due. A user has left after the debounce time if every other node with a lease has
// reported since that it has no stream of the user, and none has fallen silent lately.
func (a *attendance) sayLeaves(now time.Time) {
	a.mu.Lock()
	var users []string
	for user := range a.going {
		u := a.of(user)
		if u.leaver == nil && now.Sub(u.away) >= a.presence.Debounce {
			u.away, u.leaver = time.Time{}, &leaver{}
		}
		if u.leaver != nil {
			users = append(users, user)
		}
	}
	a.mu.Unlock()
	if len(users) == 0 {
		return
	}
	nodes, err := a.others(users)
	if err != nil {
		return
	}
	a.mu.Lock()
	var gone []string
	for _, user := range users {
		if l := a.look(user).leaver; l != nil && l.left(user, nodes) {
			gone = append(gone, user)
		} else if l != nil && l.asked > askAgain {
			a.settle(user) // the node that has the user publishes the leave
		}
	}
	a.mu.Unlock()
	failed, _ := a.say("leave", gone)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range gone {
		if !slices.Contains(failed, user) {
			a.settle(user)
		}
	}
}

// settle ends the search for a user. The caller holds mu.
func (a *attendance) settle(user string) {
	if u := a.users[user]; u != nil && u.leaver != nil {
		u.leaver = nil
		delete(a.going, user)
	}
}

// left takes the other nodes' reports, and reports whether the user has left.
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

// others returns what the other nodes report of users. It fails if some of the nodes may be unknown for the time being.
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

// sweep looks for users who are present according to the log, but on no node. The node whose name comes first publishes their
// leaves, and the others only if it does not.
func (a *attendance) sweep() {
	a.mu.Lock()
	var missing []string
	for user, u := range a.users {
		if u.missing() {
			missing = append(missing, user)
		} else {
			u.missed = 0
		}
	}
	a.mu.Unlock()
	nodes, err := a.others(missing)
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
	for _, user := range missing {
		u := a.users[user]
		switch {
		case u == nil || !u.missing(): // no longer
		case slices.ContainsFunc(nodes, func(o broker.Node) bool { return o.Counts[presentName+user] > 0 }):
			u.missed = 0
		default:
			if u.missed++; u.missed >= sweeps {
				u.missed, u.leaver = 0, &leaver{}
				a.going[user] = struct{}{}
			}
		}
	}
}

// missing reports whether a user is present according to the log, but not on this node.
func (u *attendee) missing() bool {
	return u.logged == joinLogged && !u.here && u.away.IsZero() && u.leaver == nil
}
