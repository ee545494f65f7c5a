package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// leaseTime is how long a node's relays count as running after its last report.
	leaseTime = 5 * time.Second
	// renewal is how often a node reports, and looks whether others have.
	renewal = time.Second
	// missed is in how many looks in turn a node must be missing before its relays are over.
	missed = 2
)

var errNoLease = errors.New("the lease of this node cannot be renewed")

// Why a relay is interrupted that nobody runs.
var (
	errNodeGone  = errors.New("the node that ran it is gone")
	errLateStart = errors.New("it was not known in time whether the log has its start")
)

// nodeName is the name under which a node is counted.
func nodeName(node string) string { return "node:" + node }

// lease makes sure that the other nodes take this one for alive.
func (r *Registry) lease(ctx context.Context) error {
	if r.directory == nil || time.Since(time.Unix(0, r.leased.Load())) < leaseTime/2 {
		return nil
	}
	now := time.Now()
	if err := r.directory.Report(ctx, r.node, leaseTime, true, map[string]int{nodeName(r.node): 1}); err != nil {
		return fmt.Errorf("%w: %w", errNoLease, err)
	}
	r.leased.Store(now.UnixNano())
	return nil
}

// endLease tells the other nodes that this one has ended.
func (r *Registry) endLease() {
	if r.directory == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewal)
	defer cancel()
	_ = r.directory.Report(ctx, r.node, 0, true, nil) // otherwise it ends by itself
}

// keep looks after the relays until the registry closes: it renews the lease, ends the relays of nodes that are gone, and has done
// called.
func (r *Registry) keep() {
	select {
	case <-r.ready:
	case <-r.ctx.Done():
		return
	}
	ticker := time.NewTicker(renewal)
	defer ticker.Stop()
	gone := map[string]int{} // in how many looks each node was missing
	for {
		r.renew()
		for _, node := range r.missing(gone) {
			r.inherit(node)
		}
		r.tidy()
		r.callDue()
		select {
		case <-ticker.C:
		case <-r.poke:
			r.callDue()
		case <-r.ctx.Done():
			return
		}
	}
}

// renew reports that this node lives.
func (r *Registry) renew() {
	ctx, cancel := context.WithTimeout(r.ctx, leaseTime)
	defer cancel()
	if err := r.lease(ctx); err != nil && r.ctx.Err() == nil {
		r.complaints.Log(r.log(), zap.WarnLevel, "other nodes may regard this node's relays as over", zap.Error(err))
	}
}

// missing returns the nodes that have something to do and are gone. Without a directory, there is no other node that lives. This node
// is among them if the log has relays of it that it does not run.
func (r *Registry) missing(gone map[string]int) (list []string) {
	r.mu.Lock()
	others := map[string]bool{}
	for _, k := range r.index.relays {
		switch {
		case k.end == Running && !r.runsHere(k):
			others[k.Node] = true
		case k.end != Running && k.begin.Done != "" && !k.taken && k.outcome.Node != r.node:
			others[k.outcome.Node] = true
		}
	}
	r.mu.Unlock()
	for node := range gone {
		if !others[node] {
			delete(gone, node)
		}
	}
	if len(others) == 0 {
		return nil
	}
	alive := map[string]int{}
	if r.directory != nil {
		names := make([]string, 0, len(others))
		for node := range others {
			names = append(names, nodeName(node))
		}
		ctx, cancel := context.WithTimeout(r.ctx, leaseTime)
		defer cancel()
		var err error
		if alive, err = r.directory.Counts(ctx, names...); err != nil {
			return nil // the engine is away: nobody knows
		}
	}
	for node := range others {
		own := node == r.node
		if alive[nodeName(node)] > 0 && !own {
			delete(gone, node)
		} else if gone[node]++; gone[node] >= missed || r.directory == nil && !own { // the log tells of an own end a little later
			list = append(list, node)
		}
	}
	return list
}

// runsHere reports whether this node runs a relay. It does not run one of its own if it did not learn that the log had taken the
// begin. The caller holds mu.
func (r *Registry) runsHere(k *known) bool { return k.Node == r.node && r.runs[k.id] != nil }

// inherit ends the relays of a node that is gone, and takes over its calls of done.
func (r *Registry) inherit(node string) {
	why := errNodeGone
	if node == r.node {
		why = errLateStart
	}
	var gone []known
	var adopt []string
	r.mu.Lock()
	for _, k := range r.index.relays {
		switch {
		case k.end == Running && k.Node == node && !r.runsHere(k):
			gone = append(gone, *k)
		case k.end != Running && k.begin.Done != "" && !k.taken && k.outcome.Node == node:
			adopt = append(adopt, k.id)
		}
	}
	r.mu.Unlock()
	for _, k := range gone {
		k.outcome.Node, k.outcome.Error = r.node, why.Error()
		ctx, cancel := context.WithTimeout(r.ctx, leaseTime)
		err := r.write(ctx, endRecords(k.over(Interrupted), k.outcome))
		cancel()
		if err != nil {
			return // the next look tries again
		}
		r.logEnd(k.id, k.User, Interrupted, k.since, k.events, k.bytes, why.Error())
	}
	for _, id := range adopt {
		if r.adopt(id, node) != nil {
			return
		}
	}
}

// tidy forgets what is old. A call of done that the app has not taken by then is lost.
func (r *Registry) tidy() {
	var lost []*known
	r.mu.Lock()
	for _, k := range r.index.prune(time.Now()) {
		if r.due[k.id] != nil {
			lost = append(lost, k)
			r.totals.Calls["given_up"]++
		}
		delete(r.due, k.id)
	}
	abandoned := r.index.abandon(time.Now(), r.runsHere)
	r.mu.Unlock()
	for _, k := range abandoned { // the log has nothing that would end the streams of those who still listen
		for _, c := range r.hub.Hearing(k.id) {
			c.EndWith(k.over(Interrupted).frame())
		}
	}
	for _, k := range lost {
		r.log().Error("the app never accepted the call about a relay's end; it is not called again", zap.String("relay", k.id),
			zap.String("user", k.User), zap.String("status", string(k.end)), zap.Time("ended", k.at))
	}
}
