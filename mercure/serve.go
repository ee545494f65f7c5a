package mercure

import (
	"net/http"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// allowed are the methods that the hub answers.
var allowed = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, "QUERY"}

// serve answers a request to the hub's path, to what is below it, or to its metadata. It answers other spellings of these with 404.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	if e.keys.Speaks(access.V1) && r.URL.Path == wellKnown+e.path {
		e.serveMetadata(w, r)
		return
	}
	below, ok := strings.CutPrefix(r.URL.Path, e.path)
	switch {
	case ok && below == "":
		e.serveHub(w, r)
	case ok && e.tellsSubscriptions && (below == "/subscriptions" || strings.HasPrefix(below, "/subscriptions/")):
		e.serveSubscriptions(w, r)
	default:
		e.refuse(w, e.keys.Newest(), notHere())
	}
}

func notHere() *problem.Problem { return problem.New(http.StatusNotFound, "there is nothing here") }

// serveHub answers a request to the hub's own path.
func (e *endpoint) serveHub(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		e.cors.Announce(w, r)
		e.publish(w, r)
		return
	}
	if e.route.Screen(w, r) {
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, "QUERY":
		e.subscribe(w, r)
	case http.MethodOptions:
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		w.WriteHeader(http.StatusNoContent)
	default:
		e.refuse(w, e.keys.Newest(), problem.MethodNotAllowed(allowed...))
	}
}

// serveSubscriptions answers a request about subscriptions.
func (e *endpoint) serveSubscriptions(w http.ResponseWriter, r *http.Request) {
	switch {
	case e.route.Screen(w, r):
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		e.refuse(w, e.keys.Newest(), problem.MethodNotAllowed(http.MethodGet, http.MethodHead))
	default:
		e.subscriptions(w, r)
	}
}
