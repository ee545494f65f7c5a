package source

import (
	"errors"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// maxDropped is how much is read of an answer that nobody gets, in bytes.
const maxDropped = 64 << 10

// answer is the response writer of a source's own request. It reads an event stream into the log, and passes any other answer on to
// one of the clients that wait for it.
type answer struct {
	source *source
	feed   *feed.Feed
	pass   *pass
	header http.Header

	mu      sync.Mutex // guards all below
	status  int        // 0 until the answer has begun
	streams bool       // it is an event stream
	to      *asker     // gets the answer if it is none; may be nil
	dropped int        // bytes that nobody gets
	failed  error      // why the feed has failed
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational responses are for no client.
func (w *answer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	w.streams, w.to = w.source.answered(w, status)
	if w.to == nil {
		return
	}
	everyone := w.source.share == Everyone
	_ = w.to.use(func(client http.ResponseWriter) error {
		for name, lines := range w.header {
			if !strings.HasPrefix(name, "Access-Control-") && (name != "Set-Cookie" || !everyone) {
				client.Header()[name] = lines
			}
		}
		client.WriteHeader(status)
		return nil
	})
}

// begun reports how the answer goes on. An answer without a status has 200, as with net/http.
func (w *answer) begun() (streams bool, to *asker) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streams, w.to
}

// Write implements http.ResponseWriter. An error ends the upstream request: reverse_proxy panics at it, which the source expects.
func (w *answer) Write(p []byte) (n int, err error) {
	switch streams, to := w.begun(); {
	case streams:
		return w.read(p)
	case to != nil:
		err = to.use(func(client http.ResponseWriter) error {
			n, err = client.Write(p)
			return err
		})
		return n, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropped += len(p); w.dropped > maxDropped {
		return 0, errAnswered
	}
	return len(p), nil
}

// read takes the next bytes of the stream.
func (w *answer) read(p []byte) (int, error) {
	n, err := w.feed.Write(p)
	if errors.Is(err, sse.ErrTooLong) {
		err = errLongEvent
	}
	if err != nil {
		w.mu.Lock()
		w.failed = err
		w.mu.Unlock()
		return n, err
	}
	midway := w.feed.Midway()
	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	s.midway = midway
	switch {
	case s.over != nil:
		return n, s.over
	case !s.leaving.IsZero():
		s.cancel(errUnheard)
		return n, errUnheard
	case !midway && s.due(time.Now()):
		s.cancel(errRenewed)
		return n, errRenewed
	}
	return n, nil
}

// Flush implements http.Flusher.
func (w *answer) Flush() { _ = w.FlushError() }

// FlushError is called by http.ResponseController.
func (w *answer) FlushError() error {
	if _, to := w.begun(); to != nil {
		return to.use(func(client http.ResponseWriter) error { return http.NewResponseController(client).Flush() })
	}
	return nil
}

// answered decides what becomes of an answer: it is read, if it is an event stream, or goes to one of those who wait; the others
// are to come again.
func (s *source) answered(w *answer, status int) (streams bool, to *asker) {
	s.mu.Lock()
	streams = isStream(status, w.header)
	by := w.pass.terms
	if by == nil || !by.isSame(s.terms) {
		streams = false // it did not pass a route that shares it
	} else if w.pass.wholeSite {
		s.terms = by
	}
	first := streams && !s.known
	switch {
	case streams:
		s.known, s.state, s.lastErr = true, Open, ""
		s.failing.Store(false)
		age := time.Duration(s.terms.settings.MaxAge)
		if by != s.terms { // there was a reload meanwhile
			age = min(age, handOver)
		}
		s.renew = time.Now().Add(age)
		for _, a := range s.askers {
			a.outcome <- outcome{kind: listens}
		}
		s.askers = nil
	case !s.known:
		to = s.serveFirst()
	}
	log := s.terms.log
	s.mu.Unlock()
	if to != nil {
		s.reg.unlink(s)
	}
	if first {
		log.Info("source begins", zap.String("source", s.id), zap.String("path", s.path), zap.String("share", s.share))
	}
	return streams, to
}

// failedFirst is serveFirst for an error instead of an answer. A source that was read before keeps it to itself.
func (s *source) failedFirst() *asker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return nil
	}
	return s.serveFirst()
}

// isStream reports whether an answer is an event stream that can be read.
func isStream(status int, h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	encoding := h.Get("Content-Encoding")
	return status == http.StatusOK && kind == "text/event-stream" && (encoding == "" || strings.EqualFold(encoding, "identity"))
}

// serveFirst returns the asker that gets the app's answer, if one is there, and sends the others away. The caller holds mu.
func (s *source) serveFirst() *asker {
	if len(s.askers) == 0 {
		return nil
	}
	s.answerTo = s.askers[0]
	s.reject(s.askers[1:])
	s.askers = nil
	return s.answerTo
}
