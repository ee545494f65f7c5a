package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultTimeout is how long an answer, a first byte or a probe may take.
	DefaultTimeout = 5 * time.Second
	// DefaultIdle is past two of the hub's heartbeats, as they are unless set otherwise.
	DefaultIdle = 35 * time.Second
)

// Options say what to examine.
type Options struct {
	// URL is that of the stream, as a page opens it.
	URL string
	// Hub is the URL of the same stream at the hub itself, past all that stands in front. Without a path it is that of URL. Optional.
	Hub string
	// Publish is the URL of the hub's internal route, with its prefix. Optional: without it nothing is sent.
	Publish string
	// Token is the internal route's. It is sent to no one else, and no report holds it.
	Token string
	// Header goes with each stream's request: a cookie, say.
	Header http.Header
	// Origin is that of a page on another host, whose permissions are examined. Optional.
	Origin string
	// Topic takes the probe that is missed on purpose; the stream has to hear it. Without one, the stream's own user does.
	Topic string
	// Timeout is how long an answer, a first byte or a probe may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// Idle is how long the streams are left alone; 0 leaves that out.
	Idle time.Duration
	// Insecure takes any certificate.
	Insecure bool
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	for _, u := range []struct{ name, url string }{{"the URL", o.URL}, {"--origin-url", o.Hub}, {"--publish", o.Publish}} {
		if u.url == "" && u.name != "the URL" {
			continue
		}
		// The error of url.Parse holds the URL, which may hold a ticket.
		if parsed, err := url.Parse(u.url); err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
			return fmt.Errorf("%s must be an absolute URL of http or https", u.name)
		}
	}
	if o.Origin != "" {
		u, err := url.Parse(o.Origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return errors.New("--origin must be a page's origin, such as https://app.example.com, without a path")
		}
	}
	if o.Timeout < 0 || o.Idle < 0 {
		return errors.New("--timeout and --idle must not be negative")
	}
	return nil
}

// examination is one run.
type examination struct {
	Options
	nonce  string
	route  *route // nil without access
	public []*stream
	hub    []*stream

	mu        sync.Mutex // guards what follows
	findings  []Finding
	unchecked []string
	held      string // what proves that bytes are held back
	idleFrom  time.Time
	open      []*stream
}

// Examine runs all checks, and returns when every connection that it has opened is closed. The error is that of the options or of ctx.
func Examine(ctx context.Context, o Options) (*Report, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	e := &examination{Options: o, nonce: rand.Text()}
	defer e.close()
	if o.Publish != "" {
		e.route = newRoute(o)
	}
	e.begin(ctx)
	if e.speaks() {
		twins := e.twins()
		if !twins {
			e.probe(ctx)
		}
		var idle sync.WaitGroup
		if o.Idle > 0 {
			idle.Go(func() { e.idle(ctx) })
		} else {
			e.leaveOut("whether an idle stream is cut: skipped")
		}
		switch {
		case twins:
		case e.again(ctx):
			e.leaveOut("resuming: a cache answers in the hub's place")
		default:
			e.resume(ctx)
		}
		e.cors(ctx)
		idle.Wait()
	} else {
		e.leaveOut("probes, idle time, caching, resuming: there is no stream to try them on")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.directive(ctx)
	e.judge()
	return e.report(), nil
}

// begin opens a stream of each kind, and waits until each has begun, has failed, or has taken too long.
func (e *examination) begin(ctx context.Context) {
	e.public = e.matrix(ctx, e.URL, "")
	if e.Hub != "" {
		e.hub = e.matrix(ctx, hubURL(e.Hub, e.URL), "hub ")
	} else {
		e.leaveOut("the hub itself: give --origin-url to compare")
	}
	deadline := time.Now().Add(e.Timeout)
	for _, s := range e.all() {
		s.waitUntil(ctx, deadline, func(r *record) bool { return len(r.messages) > 0 || r.opaque && r.bytes > 0 || !r.ended.IsZero() })
	}
}

// matrix opens streams over HTTP/1.1 and as a browser does, which is HTTP/2 where the server has it, without and with
// compression offered.
func (e *examination) matrix(ctx context.Context, url, prefix string) (list []*stream) {
	protocols := []string{"h1"}
	if strings.HasPrefix(url, "https:") {
		protocols = append(protocols, "h2")
	}
	for _, protocol := range protocols {
		for _, compressed := range []bool{false, true} {
			k := kind{name: prefix + protocol, url: url, h2: protocol == "h2", compressed: compressed}
			if compressed {
				k.name += " gzip"
			}
			list = append(list, e.start(ctx, k, nil))
		}
	}
	return list
}

// hubURL completes the hub's URL by the public one's path and query.
func hubURL(hub, public string) string {
	h, err := url.Parse(hub)
	p, err2 := url.Parse(public)
	if err != nil || err2 != nil || h.Path != "" && h.Path != "/" || h.RawQuery != "" {
		return hub
	}
	h.Path, h.RawPath, h.RawQuery = p.Path, p.RawPath, p.RawQuery
	return h.String()
}

// speaks reports whether any public stream answered as one, or still may.
func (e *examination) speaks() bool {
	return slices.ContainsFunc(e.public, func(s *stream) bool {
		r := s.look()
		return r.isStream() || !r.answered() && r.err == nil
	})
}

// best is the stream that a browser would have got, and what has been seen of it: of those that were answered, the last one
// without compression, which is HTTP/2 where there is any.
func (e *examination) best() (kind, *record) {
	choice, seen := e.public[0], e.public[0].look()
	for _, s := range e.public[1:] {
		if r := s.look(); r.isStream() && (len(r.messages) > 0 || len(seen.messages) == 0) && (!s.compressed || len(seen.messages) == 0) {
			choice, seen = s, r
		}
	}
	return choice.kind, seen
}

func (e *examination) all() []*stream { return slices.Concat(e.public, e.hub) }

// find adds a finding.
func (e *examination) find(code, on, seen string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.findings = append(e.findings, newFinding(code, on, fmt.Sprintf(seen, args...)))
}

// leaveOut says what was not checked, and why.
func (e *examination) leaveOut(what string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if text := clean(fmt.Sprintf(what, args...)); !slices.Contains(e.unchecked, text) {
		e.unchecked = append(e.unchecked, text)
	}
}

// start opens a stream that close will end, at the latest.
func (e *examination) start(ctx context.Context, k kind, header http.Header) *stream {
	all := e.Header.Clone()
	if all == nil {
		all = http.Header{}
	}
	for name, values := range header {
		all[name] = values
	}
	k.insecure = e.Insecure
	s := open(ctx, k, all)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = append(e.open, s)
	return s
}

func (e *examination) close() {
	for _, s := range e.open {
		s.leave()
	}
	for _, s := range e.open {
		<-s.done
	}
}
