package stream

import "net/http"

// SetHeaders sets the headers that keep servers and caches on the way from buffering, compressing, changing or storing a
// stream.
func SetHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
}
