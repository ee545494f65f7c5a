package subscribe

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// LastEventIDs returns the ids that a client asks to go on from, up to hub.MaxIDs: those in the header Last-Event-ID, then
// those in the parameters. If there are more, it keeps the first and the last ones: a client that repeats the parameter adds its
// newest id at the end.
func LastEventIDs(header http.Header, params url.Values) (ids []string) {
	add := func(values []string) {
		for _, id := range values[max(0, len(values)-hub.MaxIDs):] {
			if id != "" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	add(header["Last-Event-Id"])
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if isLastEventID(name) {
			add(params[name])
		}
	}
	if more := len(ids) - hub.MaxIDs; more > 0 {
		ids = slices.Delete(ids, 1, 1+more)
	}
	return ids
}

// WithoutLastEventIDs returns a query without the parameters that hold ids to go on from.
func WithoutLastEventIDs(query string) string {
	pairs := strings.Split(query, "&")
	all := len(pairs)
	pairs = slices.DeleteFunc(pairs, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && isLastEventID(name)
	})
	if len(pairs) == all {
		return query
	}
	return strings.Join(pairs, "&")
}

// withoutMarks removes the characters in which spellings of the parameter's name differ.
var withoutMarks = strings.NewReplacer("-", "", "_", "")

// isLastEventID reports whether a parameter holds an id to go on from: last_event_id, or a spelling that client libraries use:
// lastEventId, lastEventID or Last-Event-ID.
func isLastEventID(name string) bool {
	return len(name) <= len("last_event_id") && strings.EqualFold(withoutMarks.Replace(name), "lasteventid")
}
