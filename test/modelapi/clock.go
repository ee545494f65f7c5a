package modelapi

import (
	"fmt"
	"net/http"
	"time"
)

// serveClock streams the time, once a second, and how many clients it streams it to. It stands in for an app's own loop, which a proxy
// can share.
func (s *Server) serveClock(w http.ResponseWriter, r *http.Request) {
	s.clocks.Add(1)
	defer s.clocks.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	for {
		text := fmt.Sprintf("data: {\"time\": %q, \"streams\": %d}\n\n", time.Now().Format(time.TimeOnly), s.clocks.Load())
		if s.write(w, text, 0) != nil || sleep(r.Context(), time.Second) != nil {
			return
		}
	}
}
