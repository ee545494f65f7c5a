package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// directive finds out, if all streams were refused, whether there is an sse_push at the URL at all.
func (e *examination) directive(ctx context.Context) {
	for _, streams := range [][]*stream{e.public, e.hub} {
		if slices.ContainsFunc(streams, func(s *stream) bool { return !s.look().refused() }) {
			continue
		}
		answered, instead := e.options(ctx, streams)
		for _, s := range streams {
			s.update(func(r *record) { r.directive = answered })
			if instead != "" {
				e.find("no-directive", s.name, "no sse_push answers at %s: %s", withoutQuery(s.url), instead)
			}
		}
	}
}

// refused reports whether something answered, but not with a stream. The answer of a gateway that reaches nothing does not count, as it
// says nothing about the URL.
func (r *record) refused() bool {
	return r.answered() && !r.isStream() && r.status < http.StatusInternalServerError
}

// options asks for the methods of the streams' URL, which a directive answers before it identifies the client. It reports whether a
// directive answered. If not, instead describes what did; it is empty if nothing answered.
func (e *examination) options(ctx context.Context, streams []*stream) (directive bool, instead string) {
	if len(streams) == 0 {
		return false, ""
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, streams[0].url, nil)
	if err != nil {
		return false, ""
	}
	setHeader(req, e.Header)
	t := transport(e.Insecure)
	t.DisableKeepAlives = true
	res, err := t.RoundTrip(req)
	if err != nil {
		return false, ""
	}
	res.Body.Close()
	allow := strings.Join(res.Header.Values("Allow"), ", ")
	switch {
	case slices.Contains(strings.Split(allow, ", "), "QUERY"):
		return true, ""
	case res.StatusCode >= http.StatusInternalServerError:
		return false, ""
	}
	instead = streams[0].look().refusal() + "; OPTIONS gets " + statusText(res.StatusCode)
	if allow != "" {
		instead += ", with Allow: " + allow
	}
	return false, instead + ", where sse_push names QUERY in Allow"
}
