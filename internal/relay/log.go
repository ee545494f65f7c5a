package relay

import (
	"context"

	"github.com/sse-push/caddy-sse-push/broker"
)

// observer is shown every record of a log.
type observer interface {
	see([]broker.Entry)
	caughtUp() // the log's past has been read; may be called again
}

// log is the broker of the relays, which shows an observer every record before the hub has it. So nothing that a client has heard is
// news to the observer.
type log struct {
	broker.Broker
	observer observer
}

// forgetfulLog is a log whose entries cannot be read again.
type forgetfulLog struct{ log }

// Forgets implements broker.Forgetful.
func (forgetfulLog) Forgets() {}

// newLog returns the log on a broker.
func newLog(b broker.Broker, o observer) broker.Broker {
	if _, forgets := b.(broker.Forgetful); forgets {
		return forgetfulLog{log{b, o}}
	}
	return log{b, o}
}

// Tail implements broker.Broker.
func (l log) Tail(ctx context.Context, last int, sink broker.Sink) error {
	w := watcher{sink, l.observer}
	if prompt, ok := sink.(broker.PromptSink); ok {
		return l.Broker.Tail(ctx, last, promptWatcher{w, prompt})
	}
	return l.Broker.Tail(ctx, last, w)
}

// watcher is a hub's sink that shows an observer what it takes.
type watcher struct {
	broker.Sink
	observer observer
}

// Deliver implements broker.Sink.
func (w watcher) Deliver(batch []broker.Entry) {
	w.observer.see(batch)
	w.Sink.Deliver(batch)
}

// State implements broker.Sink.
func (w watcher) State(err error) {
	w.Sink.State(err)
	if err == nil {
		w.observer.caughtUp()
	}
}

type promptWatcher struct {
	watcher
	prompt broker.PromptSink
}

// Prompt implements broker.PromptSink.
func (w promptWatcher) Prompt() bool { return w.prompt.Prompt() }
