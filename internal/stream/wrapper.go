package stream

import (
	"net/http"
	"reflect"
	"slices"
)

// Innermost returns the writer below all wrappers.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// passing are the types of Caddy's own wrappers that pass on the headers of an event stream as soon as they are written. A recorder that
// buffers the response does not, and says so.
var passing = []string{
	"*caddyhttp.IdleTimeoutWriter", "*caddyhttp.readDeadlineWriter", "*caddyhttp.responseRecorder", "*encode.responseWriter",
	"*headers.responseWriterWrapper", "*caddyhttp.ResponseWriterWrapper",
}

// passesOn reports whether the writer below all wrappers surely has the headers that were written to w, and can be given the body. A
// wrapper that is not known may keep the headers until the first byte or the flush.
func passesOn(w http.ResponseWriter) bool {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w.Header().Get("Content-Encoding") == ""
		}
		if r, ok := w.(interface{ Buffered() bool }); ok && r.Buffered() || !slices.Contains(passing, reflect.TypeOf(w).String()) {
			return false
		}
		w = u.Unwrap()
	}
}
