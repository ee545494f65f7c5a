package hub

import (
	"context"
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// This file has what a protocol beside the hub's own needs, to publish which of its clients come and go.

// Go runs f until it returns. Its context is done when the hub is closed, and the broker is closed once it has returned. Go must not be
// called on a hub that is being closed.
func (h *Hub) Go(f func(context.Context)) { h.guests.Go(func() { f(h.ctx) }) }

// OnNotices makes the private events to topics that begin with a prefix notices. From then on heard gets each of them, in the order of
// the log, before any client does. It must not block, and must not call the hub.
func (h *Hub) OnNotices(prefix string, heard func(*broker.Entry)) {
	h.window.notice(noticeKind{prefix, heard})
}

// Past calls f with the notices in the window, if they can be read again. The caller must be ready for those that come meanwhile.
func (h *Hub) Past(ctx context.Context, f func(*broker.Entry)) error {
	if h.archive.empty {
		return nil
	}
	if err := h.settle(ctx); err != nil {
		return err
	}
	_, at := h.window.oldest()
	_, end, _ := h.window.end()
	for at != end {
		entries, err := h.broker.Read(ctx, at, end, recallPage)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if r := &entries[i].Record; r.Kind == broker.Event && !r.Public && h.window.notices.kindOf(r.Targets) != nil {
				f(&entries[i])
			}
		}
		at = entries[len(entries)-1].Position
	}
	return nil
}

// Notify stores notices, as many of the first as there is room for, and waits until this node has read them. It returns how many are
// stored.
func (h *Hub) Notify(ctx context.Context, records []broker.Record) (stored int, err error) {
	if err := h.settle(ctx); err != nil { // what is in the history counts
		return 0, err
	}
	for group := range slices.Chunk(records, 256) {
		n, err := h.notify(ctx, group)
		if stored += n; err != nil || n < len(group) {
			return stored, err
		}
	}
	return stored, nil
}

func (h *Hub) notify(ctx context.Context, records []broker.Record) (stored int, err error) {
	room, done := h.chatter.reserve(h.window, noticeShare, len(records))
	defer done()
	if room == 0 {
		return 0, nil
	}
	var last broker.Position
	for _, r := range h.append(ctx, records[:room]) {
		if r.Err != nil {
			err = r.Err
			break
		}
		stored++
		if !r.Repeated {
			last = r.Position
		}
	}
	if !last.IsZero() {
		_ = h.reach(ctx, last) // until then they count as reserved
	}
	return stored, err
}

// Post reports a count to the other nodes, under a name of the protocol's; 0 takes it back. A name that begins with broker.Brief is for
// a count that changes often. Post does nothing if there can be no other nodes.
func (h *Hub) Post(name string, count int) {
	if h.nodes == nil {
		return
	}
	h.nodes.mu.Lock()
	defer h.nodes.mu.Unlock()
	name = bulletinOf(name)
	if count == 0 {
		delete(h.nodes.bulletin, name)
	} else {
		h.nodes.bulletin[name] = count
	}
	h.nodes.note(name)
}

// Posted returns the other nodes, each with what it posts under some names, or under all if none is given. It fails if some of the nodes
// may be unknown for the time being.
func (h *Hub) Posted(ctx context.Context, names ...string) (nodes []broker.Node, err error) {
	if h.nodes == nil {
		return nil, nil
	}
	for i := range names {
		names[i] = bulletinOf(names[i])
	}
	others, err := h.nodes.ask(ctx, names...)
	if err == nil && h.nodes.blinded() {
		err = broker.ErrForgotten
	}
	for _, o := range others {
		nodes = append(nodes, broker.Node{Name: o.Name, Silent: o.Silent, Counts: posted(o.Counts)})
	}
	return nodes, err
}

// NodeName returns the name of this node among those of Posted; "" if there can be no other nodes.
func (h *Hub) NodeName() string {
	if h.nodes == nil {
		return ""
	}
	return h.nodes.name
}

// Holds reports whether the window has the record of a position.
func (h *Hub) Holds(p broker.Position) bool {
	_, where := h.window.locate(p)
	return where == within
}
