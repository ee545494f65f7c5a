package hub

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
)

// notices are events that a protocol publishes itself because clients come and go. They have one topic, which begins with a prefix of
// the protocol's. They count against a share of the history.
type notices struct{ kinds atomic.Pointer[[]noticeKind] }

type noticeKind struct {
	prefix string
	heard  func(*broker.Entry)
}

// add adds a kind of notices. The caller holds window.mu.
func (n *notices) add(k noticeKind) {
	var kinds []noticeKind
	if old := n.kinds.Load(); old != nil {
		kinds = slices.Clone(*old)
	}
	kinds = append(kinds, k)
	n.kinds.Store(&kinds)
}

// kindOf returns the kind of notices with some targets; nil if there is none.
func (n *notices) kindOf(targets []broker.Target) *noticeKind {
	kinds := n.kinds.Load()
	if kinds == nil || len(targets) != 1 || targets[0].Kind != broker.Topic {
		return nil
	}
	for i := range *kinds {
		if k := &(*kinds)[i]; strings.HasPrefix(targets[0].Name, k.prefix) {
			return k
		}
	}
	return nil
}

// hear tells what has asked for it of the notices in a batch.
func (n *notices) hear(batch []broker.Entry) {
	if n.kinds.Load() == nil {
		return
	}
	for i := range batch {
		if r := &batch[i].Record; r.Kind == broker.Event && !r.Public {
			if k := n.kindOf(r.Targets); k != nil {
				k.heard(&batch[i])
			}
		}
	}
}
