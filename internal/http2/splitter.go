package http2

import (
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

var _ stream.Splitter = (*Conn)(nil)

// Hold has the stream of a request held, and fed from src. It reports whether it is. If so, the handler must return at once and no longer
// use w. If not, the headers may have been sent. w's headers are set.
func (c *Conn) Hold(w http.ResponseWriter, r *http.Request, src stream.Source, t *stream.Timing) (bool, error) {
	if r.ContentLength != 0 || !c.mayHold() {
		return false, nil
	}
	// Through the wrappers, so that each of them can change the headers and the status.
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return false, nil // the stream is over, and whatever serves it instead learns why
	}
	inner := stream.Innermost(w)
	if inner.Header().Get("Content-Encoding") != "" {
		return false, nil // a wrapper encodes the body, so all of it has to go through that
	}
	rc := http.NewResponseController(inner)
	// A client may not let us send even the signal.
	late := time.AfterFunc(t.WriteTimeout(), func() { _ = rc.SetWriteDeadline(time.Unix(1, 0)) })
	st := c.hold(r.Context(), func(text []byte) error {
		defer late.Stop()
		if _, err := inner.Write(text); err != nil {
			return err
		}
		return rc.Flush()
	})
	if st == nil {
		return false, nil
	}
	feed, err := stream.Adopt(st, src, t)
	if err != nil { // there is no descriptor left for the loops
		st.End(err)
		src.Close(err)
		return true, nil
	}
	st.Attach(feed)
	return true, nil
}

// mayHold reports whether a stream can be held now.
func (c *Conn) mayHold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.state.mayHold()
}
