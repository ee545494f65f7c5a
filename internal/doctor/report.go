package doctor

import (
	"slices"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

// Report is the result of an examination.
type Report struct {
	URL       string    `json:"url"` // without the query's values
	Healthy   bool      `json:"healthy"`
	Front     string    `json:"front,omitempty"` // the first of Fronts, if it is known
	Fronts    []string  `json:"fronts"`          // the proxies that were recognised, the nearest first; "unknown" stands for another
	Streams   []Stream  `json:"streams"`
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"`
}

// Stream has what was measured of one stream. Times are in milliseconds; null if it did not come.
type Stream struct {
	Name         string `json:"name"`
	Status       int    `json:"status,omitempty"`
	Protocol     string `json:"protocol,omitempty"`
	ContentType  string `json:"content_type,omitempty"`
	CacheControl string `json:"cache_control,omitempty"`
	Encoding     string `json:"encoding,omitempty"`
	Headers      *int64 `json:"headers_ms"`
	First        *int64 `json:"first_byte_ms"`
	Probe        *int64 `json:"probe_ms"` // the slowest
	Retry        int64  `json:"retry_ms,omitempty"`
	Heartbeats   int    `json:"heartbeats"`
}

func (e *examination) report() *Report {
	r := &Report{URL: withoutQuery(e.URL), Healthy: true, Unchecked: append([]string{}, e.unchecked...)}
	r.Findings = merge(e.findings, len(e.hub) > 0)
	for _, f := range r.Findings {
		r.Healthy = r.Healthy && f.Severity == Note
	}
	for _, s := range e.all() {
		r.Streams = append(r.Streams, s.look().summary(s.name))
	}
	r.Fronts = e.fronts()
	if len(r.Fronts) > 0 && r.Fronts[0] != front.Unknown {
		r.Front = r.Fronts[0]
	}
	for i := range r.Findings {
		r.Findings[i].Mend = mends(r.Findings[i].Code, r.Fronts)
	}
	r.withhold(e.Token)
	return r
}

func (r *record) summary(name string) Stream {
	s := Stream{Name: name, Status: r.status, Protocol: r.protocol, Retry: r.retry.Milliseconds(), Heartbeats: len(r.heartbeats)}
	since := func(at time.Time) *int64 {
		if at.IsZero() {
			return nil
		}
		ms := at.Sub(r.asked).Milliseconds()
		return &ms
	}
	s.Headers, s.First = since(r.headers), since(r.first)
	if r.probed {
		ms := r.delay.Milliseconds()
		s.Probe = &ms
	}
	if r.header != nil {
		s.ContentType, s.CacheControl, s.Encoding = clean(r.header.Get("Content-Type")), clean(r.header.Get("Cache-Control")), clean(r.header.Get("Content-Encoding"))
	}
	return s
}

// fronts returns what stands in front: what was seen of it by requests of its own, then what the headers of the streams say.
func (e *examination) fronts() []string {
	names := e.sighted
	for _, s := range e.open {
		if now := s.look(); now.answered() && !slices.Contains(e.hub, s) {
			names = append(names, front.ByHeader(now.header)...)
		}
	}
	return append([]string{}, front.Distinct(names)...)
}

// withhold removes the token from all texts that came from elsewhere, in case it was sent back.
func (r *Report) withhold(token string) {
	if token == "" {
		return
	}
	hide := func(text *string) { *text = strings.ReplaceAll(*text, token, "[token]") }
	hide(&r.URL)
	for i := range r.Findings {
		hide(&r.Findings[i].Seen)
	}
	for i := range r.Streams {
		s := &r.Streams[i]
		hide(&s.ContentType)
		hide(&s.CacheControl)
		hide(&s.Encoding)
	}
	for i := range r.Unchecked {
		hide(&r.Unchecked[i])
	}
}
