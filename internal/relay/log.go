package relay

import (
	"context"

	"github.com/sse-push/caddy-sse-push/broker"
)

// log is the broker of the relays, which shows the registry every record before the hub has it. So nothing that a client has heard
// is news to the registry.
type log struct {
	broker.Broker
	registry *Registry
}

// forgetfulLog is a log whose entries cannot be read again.
type forgetfulLog struct{ log }

// Forgets implements broker.Forgetful.
func (forgetfulLog) Forgets() {}

// newLog returns the log of a registry.
func newLog(b broker.Broker, r *Registry) broker.Broker {
	if _, forgets := b.(broker.Forgetful); forgets {
		return forgetfulLog{log{b, r}}
	}
	return log{b, r}
}

// Tail implements broker.Broker.
func (l log) Tail(ctx context.Context, last int, sink broker.Sink) error {
	w := watcher{Sink: sink, registry: l.registry}
	if prompt, ok := sink.(broker.PromptSink); ok {
		return l.Broker.Tail(ctx, last, promptWatcher{w, prompt})
	}
	return l.Broker.Tail(ctx, last, w)
}

// watcher is a hub's sink that shows the registry what it takes.
type watcher struct {
	broker.Sink
	registry *Registry
}

// Deliver implements broker.Sink.
func (w watcher) Deliver(batch []broker.Entry) {
	w.registry.see(batch)
	w.Sink.Deliver(batch)
}

// State implements broker.Sink.
func (w watcher) State(err error) {
	w.Sink.State(err)
	if err == nil {
		w.registry.caughtUp()
	}
}

type promptWatcher struct {
	watcher
	prompt broker.PromptSink
}

// Prompt implements broker.PromptSink.
func (w promptWatcher) Prompt() bool { return w.prompt.Prompt() }
