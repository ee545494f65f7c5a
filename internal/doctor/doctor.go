package doctor

import (
	"context"
	"crypto/rand"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Examine runs all checks. When it returns, every connection that it has opened is closed. It returns an error only if the options are not
// valid or ctx is done.
func Examine(ctx context.Context, o Options) (*Report, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	e := &examination{Options: o, nonce: rand.Text()}
	defer e.close()
	for _, u := range []*string{&e.URL, &e.Hub} {
		if without := withoutPage(*u); without != *u {
			*u = without
			e.leaveOut("client and last_event_id in the URL: left out, as they are those of a page")
		}
	}
	if o.Publish != "" {
		e.route = newRoute(o)
	}
	e.begin(ctx)
	var sight sync.WaitGroup
	sight.Go(func() { e.sighted = e.sight(ctx) })
	defer sight.Wait()
	e.survey(ctx)
	if e.speaks() {
		twins := e.twins()
		if !twins {
			e.probe(ctx)
		}
		var idle sync.WaitGroup
		if e.span() > 0 {
			route := e.route // it may be given up meanwhile
			idle.Go(func() { e.idle(ctx, route) })
		} else {
			e.leaveOut("whether a stream is cut when it is idle or long, and when the hub notices that a client has left: skipped")
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
		e.gateways(ctx)
		e.leaveOut("probes, idle time, caching, resuming: there is no stream to try them on")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.directive(ctx)
	e.judge()
	sight.Wait()
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

// matrix opens streams over HTTP/1.1 and, for https, as a browser does, which is HTTP/2 if the server has it. It opens each without and
// with an offer of compression.
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

// hubURL adds the path and query of the public URL to the hub's, if that has none.
func hubURL(hub, public string) string {
	h, err := url.Parse(hub)
	p, err2 := url.Parse(public)
	if err != nil || err2 != nil || h.Path != "" && h.Path != "/" || h.RawQuery != "" {
		return hub
	}
	h.Path, h.RawPath, h.RawQuery = p.Path, p.RawPath, p.RawQuery
	return h.String()
}

// speaks reports whether any public stream was answered with an event stream, or still may be.
func (e *examination) speaks() bool {
	return slices.ContainsFunc(e.public, func(s *stream) bool {
		r := s.look()
		return r.isStream() || !r.answered() && r.err == nil
	})
}
