package doctor

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// maxEvent is the size of the longest event that is read.
const maxEvent = 4 << 20

// kind says how a stream is requested.
type kind struct {
	name, url      string
	h2, compressed bool
	insecure       bool
}

// arrival is an event and the time when it came.
type arrival struct {
	sse.Message
	at time.Time
}

// record has what has been seen of a stream.
type record struct {
	asked, connected, headers, first, last, ended time.Time // zero if not yet

	status     int
	protocol   string // of the answer
	major      int
	header     http.Header
	length     int64 // Content-Length; -1 if there is none
	directive  bool  // there is a directive sse_push at the URL
	err        error // before the headers, or at the end
	bytes      int
	opaque     bool // compressed in a way that cannot be read here, so that only bytes are counted
	messages   []arrival
	heartbeats []time.Time // comments, and events that stand for them
	tail       [4]byte     // the last bytes, decompressed
	lastID     string
	retry      time.Duration
	probed     bool
	delay      time.Duration // of the slowest probe
	fate       fate          // of a stream that was cut
}

func (r *record) answered() bool { return !r.headers.IsZero() }

// isStream reports whether the answer is an event stream.
func (r *record) isStream() bool {
	return r.answered() && r.status == http.StatusOK && isEventStream(r.header)
}

// age returns how long a stream lasted, or has lasted so far.
func (r *record) age() time.Duration {
	if r.ended.IsZero() {
		return time.Since(r.asked)
	}
	return r.ended.Sub(r.asked)
}

// quietSince returns when the last event came, or earliest if that is later.
func (r *record) quietSince(earliest time.Time) time.Time {
	if n := len(r.messages); n > 0 && r.messages[n-1].at.After(earliest) {
		return r.messages[n-1].at
	}
	return earliest
}

// hello is the data of the hub's first event.
type hello struct {
	Connection string   `json:"connection"`
	User       string   `json:"user"`
	Topics     []string `json:"topics"`

	id string
}

// hello returns the hub's first event, or nil if it has not come yet.
func (r *record) hello() *hello {
	for _, m := range r.messages {
		if m.Type != "sse:connected" {
			continue
		}
		h := &hello{id: m.ID}
		if json.Unmarshal([]byte(m.Data), h) == nil && h.Connection != "" {
			return h
		}
	}
	return nil
}

// said returns the data of the last event of a type, and whether there is one.
func (r *record) said(eventType string) (data string, ok bool) {
	for _, m := range r.messages {
		if m.Type == eventType {
			data, ok = m.Data, true
		}
	}
	return data, ok
}

// stream is an open event stream.
type stream struct {
	kind
	leave context.CancelFunc
	done  chan struct{} // closed when the connection and its goroutine have ended

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	record  record
}

// open requests a stream, and returns at once.
func open(ctx context.Context, k kind, header http.Header) *stream {
	ctx, leave := context.WithCancel(ctx)
	s := &stream{kind: k, leave: leave, done: make(chan struct{}), changed: make(chan struct{})}
	s.record.asked = time.Now()
	go func() {
		defer close(s.done)
		err := s.run(ctx, header)
		s.update(func(r *record) { r.err, r.ended = err, time.Now() })
	}()
	return s
}

// run requests the stream, and reads it to its end.
func (s *stream) run(ctx context.Context, header http.Header) error {
	t := transport(s.insecure)
	t.DisableKeepAlives = !s.h2
	t.Protocols.SetHTTP2(s.h2)
	defer t.CloseIdleConnections()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		s.update(func(r *record) { r.connected = time.Now() })
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	setHeader(req, header)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache") // as browsers do
	req.Header.Set("Accept-Encoding", "identity")
	if s.compressed {
		req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	s.update(func(r *record) {
		r.headers, r.status, r.protocol, r.major, r.header, r.length = time.Now(), res.StatusCode, res.Proto, res.ProtoMajor, res.Header, res.ContentLength
	})
	if res.StatusCode != http.StatusOK || !isEventStream(res.Header) {
		return nil
	}
	return s.listen(res)
}

// setHeader adds headers to a request.
func setHeader(req *http.Request, header http.Header) {
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
}

// listen records what comes on the stream until its end.
func (s *stream) listen(res *http.Response) error {
	var body io.Reader = &clocked{res.Body, s}
	switch strings.ToLower(res.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	default:
		s.update(func(r *record) { r.opaque = true })
		_, err := io.Copy(io.Discard, body)
		return err
	}
	reader := sse.NewReader(&ends{body, s}, maxEvent)
	reader.Comment = func(string) { s.update(func(r *record) { r.heartbeats = append(r.heartbeats, time.Now()) }) }
	for {
		m, err := reader.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		s.update(func(r *record) {
			if m.Type == "sse:heartbeat" {
				r.heartbeats = append(r.heartbeats, time.Now())
			} else {
				r.messages = append(r.messages, arrival{m, time.Now()})
			}
			r.lastID, r.retry = reader.LastEventID(), reader.Retry()
		})
	}
}

// clocked records when bytes come.
type clocked struct {
	io.Reader
	s *stream
}

func (c *clocked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if n > 0 {
		c.s.update(func(r *record) {
			r.last = time.Now()
			if r.bytes += n; r.first.IsZero() {
				r.first = r.last
			}
		})
	}
	return n, err
}

// ends records whether what has been read ends with a whole event.
type ends struct {
	io.Reader
	s *stream
}

func (e *ends) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.s.update(func(r *record) {
		for _, b := range p[:n] {
			r.tail = [4]byte{r.tail[1], r.tail[2], r.tail[3], b}
		}
	})
	return n, err
}

// unfinished reports whether only the beginning of an event, a comment or a field has come.
func (r *record) unfinished() bool {
	end := string(r.tail[:])
	return r.tail != [4]byte{} && !strings.HasSuffix(end, "\n\n") && !strings.HasSuffix(end, "\r\r") && end != "\r\n\r\n"
}

// update changes the record, and wakes whatever waits for a change.
func (s *stream) update(change func(*record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.record)
	close(s.changed)
	s.changed = make(chan struct{})
}

// look returns a copy of what has been seen so far.
func (s *stream) look() *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.record
	return &r
}

// waitUntil waits for a condition until the deadline, and reports whether it holds.
func (s *stream) waitUntil(ctx context.Context, deadline time.Time, holds func(*record) bool) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		s.mu.Lock()
		ok, changed := holds(&s.record), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// wait is like waitUntil, with a limit in place of a deadline.
func (s *stream) wait(ctx context.Context, limit time.Duration, holds func(*record) bool) bool {
	return s.waitUntil(ctx, time.Now().Add(limit), holds)
}

// greeted waits for the hub's first event or the stream's end, and returns the event or nil.
func (s *stream) greeted(ctx context.Context, limit time.Duration) *hello {
	s.wait(ctx, limit, func(r *record) bool { return r.hello() != nil || !r.ended.IsZero() })
	return s.look().hello()
}

// has returns a condition: an event with the data has come, or none can come any more.
func has(data string) func(*record) bool {
	return func(r *record) bool { return !r.cameAt(data).IsZero() || !r.ended.IsZero() }
}

// cameAt returns when an event with the data came, or the zero time.
func (r *record) cameAt(data string) time.Time {
	for _, m := range r.messages {
		if m.Data == data {
			return m.at
		}
	}
	return time.Time{}
}

// transport returns a new transport, so that no connection is shared. It ignores the environment's proxy, which would be examined as well.
func transport(insecure bool) *http.Transport {
	t := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}, // as --insecure asks
	}
	t.Protocols.SetHTTP1(true)
	return t
}

func isEventStream(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// finished reports whether the other side has ended the stream.
func (r *record) finished() bool { return r.isStream() && !r.ended.IsZero() }
