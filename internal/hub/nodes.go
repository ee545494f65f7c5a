package hub

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// reportEvery is how often a node tells the others what has changed on it, and leaseTime how long that counts
	// where nothing more is heard of it.
	reportEvery = time.Second
	leaseTime   = 15 * time.Second
	// renewEvery is how often it tells them that nothing has.
	renewEvery = 5 * time.Second
	// retellEvery is how often it tells them everything, in case that the engine has forgotten some of it.
	retellEvery = time.Minute
)

// nodes is what a hub tells other nodes, and asks them, where its broker has a directory.
type nodes struct {
	hub       *Hub
	directory broker.Directory
	name      string
	told      atomic.Pointer[map[string]int] // what the others have been told last
	done      chan struct{}                  // closed when the others know that this node has gone
}

// wait waits until run has ended.
func (n *nodes) wait() {
	if n != nil {
		<-n.done
	}
}

// Names in the directory.
const (
	userName    = "u:"
	topicName   = "t:"
	presentName = "p:"
)

// run reports until ctx is done, and says good-bye then.
func (n *nodes) run(ctx context.Context) {
	defer close(n.done)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var told map[string]int // nil: nothing that would still count
	var at, all time.Time   // of the last report, and of the last that told everything
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportEvery)
			defer cancel()
			_ = n.directory.Report(last, n.name, 0, true, nil) // otherwise its lease runs out
			return
		case now := <-tick.C:
			present := n.present()
			changes := difference(told, present)
			if len(changes) == 0 && told != nil && now.Sub(at) < renewEvery {
				continue
			}
			fresh := told == nil || now.Sub(all) > retellEvery || now.Sub(at) > leaseTime-renewEvery // it may have run out
			if fresh {
				changes, all = present, now
			}
			report, cancel := context.WithTimeout(ctx, renewEvery)
			err := n.directory.Report(report, n.name, leaseTime, fresh, changes)
			cancel()
			if err != nil {
				told = nil
				continue
			}
			told, at = present, now
			n.told.Store(&present)
		}
	}
}

// present counts who and what is connected here.
func (n *nodes) present() map[string]int {
	all := map[string]int{}
	for name, connections := range n.hub.users() {
		all[userName+name] = connections
	}
	for name, connections := range n.hub.topics() {
		all[topicName+name] = connections
	}
	for _, name := range n.hub.who.held() {
		all[presentName+name] = 1
	}
	return all
}

// difference is what has changed; 0 stands for what is gone.
func difference(old, present map[string]int) map[string]int {
	changes := map[string]int{}
	for name, n := range present {
		if old[name] != n {
			changes[name] = n
		}
	}
	for name := range old {
		if _, ok := present[name]; !ok {
			changes[name] = 0
		}
	}
	return changes
}

// others returns the counts of all nodes but this one under names with a prefix, which is taken off, or under these names.
func (n *nodes) others(ctx context.Context, prefix string, names ...string) (map[string]int, error) {
	all, err := n.directory.Counts(ctx, names...)
	if err != nil {
		return nil, err
	}
	var own map[string]int
	if told := n.told.Load(); told != nil {
		own = *told
	}
	others := map[string]int{}
	for name, count := range all {
		if rest, ok := strings.CutPrefix(name, prefix); ok && count > own[name] {
			others[rest] = count - own[name]
		}
	}
	return others, nil
}

// elsewhere asks how many connections users have on other nodes. The answer comes when ctx is done at the latest: nil
// where it is not known. There is none, and the channel is nil, without other nodes or users.
func (n *nodes) elsewhere(ctx context.Context, users []string) <-chan map[string]int {
	if n == nil || len(users) == 0 {
		return nil
	}
	answer := make(chan map[string]int, 1)
	go func() {
		names := make([]string, len(users))
		for i, user := range users {
			names[i] = userName + user
		}
		counts, _ := n.others(ctx, userName, names...) // nil with an error
		answer <- counts
	}()
	return answer
}
