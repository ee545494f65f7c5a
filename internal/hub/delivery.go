package hub

import (
	"context"
	"time"
)

// Delivery is the result of a receipt.
type Delivery struct {
	// Scope is "cluster" if it is known how many connections the users have on other nodes. It is "node" if that is not known,
	// or there are no other nodes.
	Scope string `json:"scope"`
	Tally
	// Partial: there may be more connections, as the event has not come back from the broker in time, or too many are followed.
	Partial bool `json:"partial,omitempty"`
	// Users has the users that the event is addressed to.
	Users map[string]UserTally `json:"users,omitempty"`
}

// Tally counts connections of this node.
type Tally struct {
	Matched int `json:"matched"`
	// Only if the publisher waits for writers: the connections to which the event was written, that is, handed to the kernel,
	// and those to which it was not.
	Written *int `json:"written,omitempty"`
	Failed  *int `json:"failed,omitempty"`
}

// UserTally is the result for one user.
type UserTally struct {
	Tally
	// Elsewhere is the number of the user's connections on other nodes, if known.
	Elsewhere int `json:"elsewhere,omitempty"`
	// Offline: the user has no connection, on any node. It is set only if that is sure.
	Offline bool `json:"offline,omitempty"`
}

// Awaited is a receipt and what to wait for.
type Awaited struct {
	*Receipt
	Written bool      // also wait for writers
	Until   time.Time // the latest time
}

// Await returns the result of each receipt, and closes it. It waits until the latest of their times at most, or until ctx is
// done.
func (h *Hub) Await(ctx context.Context, list []Awaited) []Delivery {
	if len(list) == 0 {
		return nil
	}
	var latest time.Time
	for _, a := range list {
		if a.Until.After(latest) {
			latest = a.Until
		}
	}
	ctx, cancel := context.WithDeadline(ctx, latest)
	defer cancel()
	surveys := h.nodes.surveyAll(ctx, list)
	deliveries := make([]Delivery, len(list))
	for i, a := range list {
		a.wait(ctx)
		deliveries[i] = a.read(a.Written)
		a.Close()
	}
	if surveys == nil { // there are no other nodes, or no users to ask about
		return deliveries
	}
	for i, s := range <-surveys { // it comes by the end of ctx at the latest
		deliveries[i].add(s)
	}
	return deliveries
}

// add records who is connected to other nodes. A user counts as offline only if that is sure.
func (d *Delivery) add(s survey) {
	if s.known && d.Users != nil {
		d.Scope = "cluster"
	}
	for name, u := range d.Users {
		u.Elsewhere = s.elsewhere[name]
		u.Offline = u.Offline && s.sure && u.Elsewhere == 0
		d.Users[name] = u
	}
}

// wait returns when nothing more is to come, or the time is over.
func (a *Awaited) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(a.Until))
	defer timer.Stop()
	for !a.over(a.Written) {
		select {
		case <-a.settled:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *Receipt) over(toWriters bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left == 0 && (!toWriters || r.open == 0)
}

// read returns the counts. As far as this node can tell, a user without connections is offline.
func (r *Receipt) read(toWriters bool) Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	tally := func() Tally {
		if toWriters {
			return Tally{Written: new(int), Failed: new(int)}
		}
		return Tally{}
	}
	d := Delivery{Scope: "node", Tally: tally(), Partial: r.partial || r.left > 0}
	for _, user := range r.users {
		if d.Users == nil {
			d.Users = make(map[string]UserTally, len(r.users))
		}
		d.Users[user] = UserTally{Tally: tally(), Offline: !d.Partial && !r.present[user]}
	}
	for c, f := range r.fates {
		u, named := d.Users[c.User]
		u.Offline = false
		d.count(f)
		u.count(f)
		if named {
			d.Users[c.User] = u
		}
	}
	return d
}

func (t *Tally) count(f fate) {
	if f == absent {
		return
	}
	t.Matched++
	switch {
	case t.Written == nil:
	case f == written:
		*t.Written++
	default:
		*t.Failed++
	}
}
