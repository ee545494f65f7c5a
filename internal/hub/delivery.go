package hub

import (
	"context"
	"time"
)

// Delivery is what a receipt has to tell.
type Delivery struct {
	// Scope is "node" where the counts are of this node and others are not known, or there are none; "cluster" where it is
	// known as well how many connections the users have on others.
	Scope string `json:"scope"`
	Tally
	// Partial: there may be more, as the event has not come back from the broker in time, or too much is followed.
	Partial bool `json:"partial,omitempty"`
	// Users are those that the event is for by name.
	Users map[string]UserTally `json:"users,omitempty"`
}

// Tally counts connections of this node.
type Tally struct {
	Matched int `json:"matched"`
	// Where it was waited for: to which the event was written, which is handed to the kernel, and to which it was not.
	Written *int `json:"written,omitempty"`
	Failed  *int `json:"failed,omitempty"`
}

// UserTally is what one user has got.
type UserTally struct {
	Tally
	// Elsewhere is how many connections he has on other nodes, where that is known.
	Elsewhere int `json:"elsewhere,omitempty"`
	// Offline: he has none, on any node. It is said only where it is sure.
	Offline bool `json:"offline,omitempty"`
}

// Awaited is a receipt, and what is waited for.
type Awaited struct {
	*Receipt
	Written bool      // for the writers, too
	Until   time.Time // at the latest
}

// Await returns what each receipt has to tell, and closes it. It waits no longer than the latest of them, or until ctx is
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
	if surveys == nil { // there are no other nodes, or nobody to ask them about
		return deliveries
	}
	for i, s := range <-surveys { // by ctx at the latest
		deliveries[i].add(s)
	}
	return deliveries
}

// add says who is connected to other nodes. Unless that is sure, nobody is known to be offline.
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

// read counts. Who is not there is offline as far as this node can tell.
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
