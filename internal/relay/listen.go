package relay

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// startPatience is how long a client waits for a relay that has yet to begin. EventSource takes the answer after that for the end.
const startPatience = 3 * time.Second

// param is the parameter by which a client asks for a relay.
const param = "relay"

// Subscribe holds a stream of the relay that a subscribe request asks for. Requests that ask for none are the route's, and so are all
// if the hub has had no relays. A client gets 204 if the relay is not known, if the client may not hear it, or has had its end.
func Subscribe(w http.ResponseWriter, req *http.Request, ref *pool.Ref, route *subscribe.Route) {
	r, err := asked(req, ref)
	switch {
	case err != nil:
		route.Reject(w, req, err)
		return
	case r == nil:
		route.ServeHTTP(w, req)
		return
	}
	if l, timing := r.admit(w, req, route); l != nil {
		route.HoldAs(w, req, l.Conn, l, timing)
	}
}

// asked returns the registry of the relay that a request asks for, or nil. The server takes requests before the config is in force:
// a page that comes back then is not to get a stream without its relay.
func asked(req *http.Request, ref *pool.Ref) (*Registry, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead || !request.HasParam(req, param) {
		return nil, nil
	}
	p, err := ref.Get(req.Context())
	if err != nil {
		return nil, err
	}
	if ref.Has(name) {
		return of(p)
	}
	return find(p), nil
}

// admit answers requests that get no stream, and returns the listener of one that does. It is not part of Subscribe, so that a
// stream does not keep its stack.
func (r *Registry) admit(w http.ResponseWriter, req *http.Request, route *subscribe.Route) (*listener, *stream.Timing) {
	sub, id, ok := route.Ask(w, req)
	if !ok {
		return nil, nil
	}
	ids := req.URL.Query()[param]
	if len(ids) > 1 || len(sub.Topics) > 0 {
		problem.New(http.StatusUnprocessableEntity, "a stream of a relay has no topics and no other relay: its events are of another log").OfField(param).Write(w)
		return nil, nil
	}
	k, ok := r.wait(req.Context(), ids[0], id)
	if !ok || k.end != Running && slices.ContainsFunc(append(sub.OtherIDs, sub.LastEventID), func(id string) bool { return id == k.ended.String() }) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	}
	sub.Topics, sub.Opening = []string{k.id}, &hub.Opening{After: k.began}
	conn, timing, err := route.BeginBeside(req, r.hub, id, sub)
	if err != nil {
		route.Reject(w, req, err)
		return nil, nil
	}
	r.hears(k.id, 1)
	return &listener{Conn: conn, registry: r, relay: k.id}, timing
}

// waiter has the clients that wait for a relay to begin.
type waiter struct {
	begun chan struct{}
	n     int
}

// wait returns what is known of a relay that a client may hear. It waits for a while if there is none, and as long if the client
// may not hear it, so that nobody learns which ids there are.
func (r *Registry) wait(ctx context.Context, relay string, id identity.Identity) (known, bool) {
	timeout := time.NewTimer(startPatience)
	defer timeout.Stop()
	for {
		r.mu.Lock()
		k := r.index.relays[relay]
		if k != nil && k.admits(id) {
			found := *k
			r.mu.Unlock()
			return found, true
		}
		w := r.waiters[relay]
		if w == nil {
			w = &waiter{begun: make(chan struct{})}
			r.waiters[relay] = w
		}
		w.n++
		r.mu.Unlock()
		begun := false
		select {
		case <-w.begun:
			begun = true
		case <-timeout.C:
		case <-r.ctx.Done():
		case <-ctx.Done():
		}
		r.mu.Lock()
		if w.n--; w.n == 0 && r.waiters[relay] == w {
			delete(r.waiters, relay)
		}
		r.mu.Unlock()
		if !begun {
			return known{}, false
		}
	}
}

// admits reports whether a client may hear the relay.
func (k *known) admits(id identity.Identity) bool {
	if k.User != "" {
		return k.User == id.User
	}
	return id.Granted(k.Topic)
}

// listener is a connection whose stream ends after the end of its relay.
type listener struct {
	*hub.Conn
	registry *Registry
	relay    string
	over     bool
}

// Next implements stream.Source.
func (l *listener) Next(frames [][]byte, max int64) ([][]byte, error) {
	if l.over {
		return frames, io.EOF
	}
	n := len(frames)
	frames, err := l.Conn.Next(frames, max)
	for i := n; i < len(frames); i++ {
		if bytes.HasPrefix(frames[i], endPrefix) {
			l.over = true
			clear(frames[i+1:])
			return frames[:i+1], io.EOF
		}
	}
	return frames, err
}

// endPrefix begins the frame of an end. No upstream can send one like it.
var endPrefix = []byte("event: " + typeEnd + "\n")

// Ended implements stream.Source.
func (l *listener) Ended() bool { return l.over || l.Conn.Ended() }

// Close implements stream.Source.
func (l *listener) Close(err error) {
	l.Conn.Close(err)
	l.registry.hears(l.relay, -1)
}
