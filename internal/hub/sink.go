package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// sink is the hub as a broker.Sink.
type sink Hub

// Begin implements broker.Sink.
func (s *sink) Begin(p broker.Position) { s.window.begin(p) }

// State implements broker.Sink.
func (s *sink) State(err error) {
	if err != nil {
		s.state.Store(&err)
		return
	}
	if s.state.Swap(nil) != nil {
		s.nodes.retell() // while the engine was away, it may have lost what this node has reported
	}
	select {
	case <-s.ready:
	default:
		tail, _, _ := s.window.end()
		s.additions.begin(!s.archive.empty && tail >= s.additions.asked)
		close(s.ready)
	}
}

// Prompt implements broker.PromptSink: no shard is behind.
func (s *sink) Prompt() bool {
	return !slices.ContainsFunc(s.shards, func(sh *shard) bool { return !sh.idle() })
}

// Deliver implements broker.Sink.
func (s *sink) Deliver(batch []broker.Entry) {
	h := (*Hub)(s)
	if slices.ContainsFunc(batch, func(e broker.Entry) bool { return e.Record.Kind == broker.Hole && e.Err == nil }) {
		h.nodes.retell() // the engine may have been put back to an older state
	}
	h.intake.take(batch)
	for _, t := range h.taps.all() {
		t.see(batch)
	}
	h.window.notices.hear(batch)
	calls := h.rollCalls(batch)
	h.callRoll(calls)
	entries := h.window.add(batch, h.fresh[:0])
	h.callRoll(calls)
	h.answer(calls)
	h.intake.count(batch, entries[0].seq)
	for _, e := range entries {
		if e.control != nil {
			h.heed(e)
			h.additions.see(e)
		}
		h.heeded.Store(e.seq)
	}
	h.keeper.look()
	small := toFew(entries)
	for _, sh := range h.shards {
		if small && sh.idle() {
			sh.deliver(entries, true)
		} else {
			sh.push(entries)
		}
	}
	if h.window.first(entries[0]) {
		h.expire()
	}
	clear(entries)
	h.fresh = entries
}

// maxFew is how many targets count as few, and how many connections of a shard are written to on the goroutine that delivers.
const maxFew = 16

// toFew reports whether entries go to so few connections that it is not worth waking a goroutine for them.
func toFew(entries []*entry) bool {
	n := 0
	for _, e := range entries {
		for _, t := range e.targets {
			if n++; n > maxFew || t.Kind != broker.User && t.Kind != broker.Connection {
				return false
			}
		}
	}
	return true
}
