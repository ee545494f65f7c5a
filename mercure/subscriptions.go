package mercure

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
	"github.com/sse-push/caddy-sse-push/mercure/internal/subscription"
)

// subscriptions answers with the subscriptions that a request asks for.
func (e *endpoint) subscriptions(w http.ResponseWriter, r *http.Request) {
	g, v, p := e.reader(r, r.URL.Query())
	if p == nil {
		p = e.list(w, r, g, v)
	}
	if p != nil {
		e.refuse(w, v, p)
	}
}

// list answers with the subscriptions that a request asks for, if a grant covers them.
func (e *endpoint) list(w http.ResponseWriter, r *http.Request, g *access.Grant, v access.Version) *problem.Problem {
	query, ok := asksFor(v, request.EscapedBelow(r.URL, len(e.path+"/subscriptions")))
	if !ok {
		return notHere()
	}
	theHub, err := e.hub.Get(r.Context())
	if err != nil {
		return problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	registry := subscription.Of(theHub, e.path, e.base)
	if registry == nil {
		return problem.RetryLater(http.StatusServiceUnavailable, 0, "the hub is about to end")
	}
	if !g.Grants(registry.Path(query)) {
		return e.outOfScope()
	}
	registry.Ask(g) // before the list is made, so that what changes after it is told
	position, err := theHub.Position(r.Context())
	if err != nil {
		return problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	last := "earliest"
	if !position.IsZero() {
		last = "#" + position.String()
	}
	body := registry.Document(query, last)
	if body == nil {
		return problem.New(http.StatusNotFound, "there is no such subscription")
	}
	e.writeList(w, r, v, last, body)
	return nil
}

// writeList writes an answer about subscriptions, unless the client has it already.
func (e *endpoint) writeList(w http.ResponseWriter, r *http.Request, v access.Version, last string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, must-revalidate")
	h.Add("Vary", "Authorization, Cookie")
	if v == access.V0 {
		h.Set("Content-Type", "application/ld+json")
		h.Set("Link", "<"+e.path+`>; rel="mercure"`)
	} else {
		h.Set("Content-Type", "application/json")
		h.Set("Link", "<"+e.path+`>; rel="mercure"; last-event-id="`+last+`"; type="mercure"; content-type="application/json"`)
	}
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body)
}

// asksFor reads the path of a request about subscriptions, as it is escaped, after the path of all subscriptions. ok is false if it is
// none of a version.
func asksFor(v access.Version, path string) (q subscription.Query, ok bool) {
	q.Version = v
	if path == "" {
		return q, true
	}
	var parts []string
	for part := range strings.SplitSeq(path[1:], "/") {
		decoded, err := url.PathUnescape(part)
		if err != nil || decoded == "" {
			return q, false
		}
		parts = append(parts, decoded)
	}
	if v == access.V1 {
		if len(parts) < 2 || parts[0] != "exact" && parts[0] != "urlpattern" {
			return q, false
		}
		q.MatchType, parts = parts[0], parts[1:]
	}
	switch len(parts) {
	case 1:
		q.Match = parts[0]
	case 2:
		q.Match, q.Subscriber = parts[0], parts[1]
	default:
		return q, false
	}
	return q, true
}
