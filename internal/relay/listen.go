package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// startPatience is how long a client waits for a relay that has yet to begin. After that it gets an answer that an EventSource takes for
// the end.
const startPatience = 3 * time.Second

// param is the parameter by which a client asks for a relay.
const param = "relay"

// Beside returns the function that recognises requests for a relay. If the hub has had no relays, no request is one. A client
// gets 204 if the relay is not known, if the client may not hear it, or if it has had the relay's end.
func Beside(ref *pool.Ref) subscribe.Beside {
	return func(req *http.Request) (subscribe.Opener, error) {
		r, err := asked(req, ref)
		if r == nil {
			return nil, err
		}
		return r.open, nil
	}
}

// asked returns the registry of the relay that a request asks for, or nil. The server takes requests before the config is in force:
// a page that comes back then is not to get a stream without its relay.
func asked(req *http.Request, ref *pool.Ref) (*Registry, error) {
	if !request.HasParam(req, param) {
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

// open is a subscribe.Opener.
func (r *Registry) open(
	w http.ResponseWriter, req *http.Request, route *subscribe.Route, id identity.Identity, sub hub.Subscription,
) (*hub.Conn, stream.Source, *stream.Timing) {
	query := req.URL.Query()
	if len(query[param]) > 1 || len(sub.Topics) > 0 {
		problem.New(http.StatusUnprocessableEntity, "a relay's stream takes no topics and no second relay: its events come from another log").OfField(param).Write(w)
		return nil, nil, nil
	}
	form, p := formOf(req, query)
	if p != nil {
		p.Write(w)
		return nil, nil, nil
	}
	if form != events {
		sub.LastEventID, sub.OtherIDs = "", nil // they would be of other streams
	}
	k, ok := r.begun(req.Context(), query.Get(param), id)
	if !ok || form == running && k.end != Running || k.hasHad(&sub) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil, nil, nil
	}
	sub.Topics, sub.Opening = []string{k.id}, &hub.Opening{After: k.began}
	conn, timing, err := route.BeginBeside(req, r.hub, id, sub)
	if err != nil {
		route.Reject(w, req, err)
		return nil, nil, nil
	}
	r.hears(k.id, 1)
	l := &listener{Conn: conn, registry: r, relay: k.id}
	if form != events {
		l.servePlain(w, req, route, timing)
		return nil, nil, nil
	}
	return conn, l, timing
}

// hasHad reports whether a client has had the end of the relay.
func (k *known) hasHad(sub *hub.Subscription) bool {
	return k.end != Running && slices.ContainsFunc(append(sub.OtherIDs, sub.LastEventID), func(id string) bool { return id == k.ended.String() })
}

// begun returns what is known of a relay that a client may hear. It waits for a while if there is none, and as long if the client may
// not hear it, so that nobody learns which ids there are.
func (r *Registry) begun(ctx context.Context, relay string, id identity.Identity) (known, bool) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return r.wait(ctx, relay, func(k *known) bool { return k.admits(id) })
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
	over     atomic.Bool // its end has been taken
}

// Next implements stream.Source.
func (l *listener) Next(frames [][]byte, max int64) ([][]byte, error) {
	if l.over.Load() {
		return frames, io.EOF
	}
	n := len(frames)
	frames, err := l.Conn.Next(frames, max)
	for i := n; i < len(frames); i++ {
		if bytes.HasPrefix(frames[i], endPrefix) {
			l.over.Store(true)
			clear(frames[i+1:])
			return frames[:i+1], io.EOF
		}
	}
	return frames, err
}

// endPrefix begins the frame of an end. No upstream can send one like it.
var endPrefix = []byte("event: " + typeEnd + "\n")

// Ended implements stream.Source.
func (l *listener) Ended() bool { return l.over.Load() || l.Conn.Ended() }

// errRelayEnded is why a stream is over that has had the end of its relay.
var errRelayEnded = errors.New("the relay has ended")

// Close implements stream.Source.
func (l *listener) Close(err error) {
	if err == nil && l.over.Load() {
		err = errRelayEnded
	}
	l.Conn.Close(err)
	l.registry.hears(l.relay, -1)
}
