package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// judge turns what has been seen of the streams into findings.
func (e *examination) judge() {
	for _, s := range e.all() {
		r := s.look()
		switch {
		case !r.answered():
			e.judgeSilence(s, r)
		case r.status != http.StatusOK || !isEventStream(r.header):
			e.judgeRefusal(s, r)
		default:
			e.judgeHeaders(s, r)
			e.judgeContent(s, r)
			e.judgeIdle(s, r)
		}
	}
	e.judgeProtocols()
	e.forgive()
}

// judgeSilence judges a stream whose headers have not come.
func (e *examination) judgeSilence(s *stream, r *record) {
	if r.err != nil {
		code, seen := judgeError(r.err)
		e.find(code, s.name, "%s", seen)
		return
	}
	waited := short(time.Since(r.asked))
	if evidence := e.evidence(s); evidence != "" {
		e.find("buffered", s.name, "not even headers came for %s, though %s", waited, evidence)
		return
	}
	missed := ""
	if e.missed {
		missed = ", and the hub has not got the request"
	}
	e.find("no-answer", s.name, "connected, but no answer came for %s%s", waited, missed)
}

// evidence returns what proves that bytes were held back on their way, or "".
func (e *examination) evidence(silent *stream) string {
	if slices.Contains(e.hub, silent) || e.missed {
		return ""
	}
	if e.held != "" {
		return e.held
	}
	for _, s := range e.hub {
		if r := s.look(); r.isStream() && !r.first.IsZero() {
			return "the hub itself sent its first byte after " + short(r.first.Sub(r.asked))
		}
	}
	for _, s := range e.public {
		if s.look().isStream() && s.h2 && !silent.h2 {
			return "they did over HTTP/2"
		}
	}
	return ""
}

// judgeError returns what an error before any answer means.
func judgeError(err error) (code, seen string) {
	var unverified *tls.CertificateVerificationError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &unverified), errors.As(err, &x509.UnknownAuthorityError{}), errors.As(err, &x509.HostnameError{}):
		return "certificate", "the certificate is not accepted: " + err.Error()
	case errors.As(err, &dns):
		return "unreachable", "the name " + dns.Name + " does not resolve"
	case errors.As(err, &op) && op.Op == "dial":
		return "unreachable", "no connection: " + op.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no-answer", "no answer came"
	}
	return "unreachable", "no answer: " + unwrapURL(err).Error()
}

// judgeRefusal judges an answer that is no stream.
func (e *examination) judgeRefusal(s *stream, r *record) {
	code := "not-event-stream"
	if took := r.headers.Sub(r.asked); r.turnedAway() && e.held != "" && took > gaveUp {
		e.find("buffered", s.name, "%s after %s, though %s", r.refusal(), short(took), e.held)
		return
	}
	switch {
	case r.status >= 300 && r.status < 400:
		code = "redirect"
	case r.status != http.StatusOK:
		code = "status"
	}
	seen := r.refusal()
	if r.directive {
		seen += "; sse_push is there, as it answers OPTIONS"
	}
	e.find(code, s.name, "%s", seen)
}

// refusal describes what came instead of a stream.
func (r *record) refusal() string {
	kind := r.header.Get("Content-Type")
	switch {
	case r.status >= 300 && r.status < 400:
		return fmt.Sprintf("status %d, to %s", r.status, withoutQuery(r.header.Get("Location")))
	case r.status != http.StatusOK:
		return statusText(r.status)
	case kind == "":
		return "the answer has no Content-Type"
	}
	return "the Content-Type is " + kind
}

// judgeHeaders judges the headers of a stream.
func (e *examination) judgeHeaders(s *stream, r *record) {
	h := r.header
	if encoding := h.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		e.find("compressed", s.name, "Content-Encoding is %s", encoding)
	}
	if _, rejected := r.said("sse:rejected"); r.length >= 0 && !rejected { // a refusal is complete
		e.find("content-length", s.name, "Content-Length is %d", r.length)
	}
	if r.protocol == "HTTP/1.0" {
		e.find("http10", s.name, "the answer is HTTP/1.0: it has no chunks, so only the connection's end marks its end")
	}
	control := strings.ToLower(strings.Join(h.Values("Cache-Control"), ","))
	if !strings.Contains(control, "no-store") && !strings.Contains(control, "no-cache") && !strings.Contains(control, "private") {
		if control == "" {
			control = "missing"
		}
		e.find("cacheable", s.name, "Cache-Control is %s", control)
	}
	if seen := cacheTrace(h, r.headers.Sub(r.asked)); seen != "" {
		e.find("cached", s.name, "the answer has %s", seen)
	}
}

// ageMargin is how old a fresh answer may look by its Age, as the clocks of two machines differ, and Age has whole seconds.
const ageMargin = 5 * time.Second

// cacheTrace returns the header that shows that a cache has stored the answer, or "". Some proxies add an Age to every answer: it shows
// nothing if it is no longer than the answer took.
func cacheTrace(h http.Header, took time.Duration) string {
	if age, err := strconv.Atoi(h.Get("Age")); err == nil && time.Duration(age)*time.Second > took+ageMargin {
		return "Age: " + h.Get("Age")
	}
	for _, name := range []string{"X-Cache-Status", "X-Proxy-Cache", "X-Cache", "CF-Cache-Status"} {
		value := strings.ToUpper(h.Get(name))
		for _, bad := range []string{"HIT", "EXPIRED", "STALE", "UPDATING", "REVALIDATED"} {
			if strings.HasPrefix(value, bad) {
				return name + ": " + h.Get(name)
			}
		}
	}
	return ""
}

// judgeContent judges what came on a stream.
func (e *examination) judgeContent(s *stream, r *record) {
	if r.first.IsZero() {
		if r.finished() {
			e.find("cut", s.name, "the stream ended without a byte (%s)", ending(r.err))
			return
		}
		why := ""
		if evidence := e.evidence(s); evidence != "" {
			why = ", though " + evidence
		}
		e.find("buffered", s.name, "headers came after %s, but not one byte in the %s that followed%s", short(r.headers.Sub(r.asked)), short(time.Since(r.headers)), why)
		return
	}
	switch wait, late := r.first.Sub(r.headers), r.first.Sub(r.asked); {
	case late <= e.Timeout || r.probed && wait < e.Timeout/2:
	case wait > e.Timeout/2 && !r.probed:
		e.find("buffered", s.name, "the first byte came %s after the headers", short(wait))
	default:
		e.leaveOut("why the first byte came after %s on %s: not sure, as something may have been busy, or let requests wait for each other", short(late), s.name)
	}
	if data, ok := r.said("sse:rejected"); ok {
		e.judgeRejection(s, data)
		return
	}
	if since := time.Since(r.last); r.unfinished() && !r.finished() && !r.probed && since > e.Timeout/2 {
		e.find("buffered", s.name, "the beginning of an event came, but its end did not, for %s", short(since))
	}
	if r.opaque || len(r.messages) == 0 {
		return
	}
	if r.lastID == "" {
		e.find("no-ids", s.name, "%d events came, none with an id", len(r.messages))
	}
	if r.retry == 0 {
		e.find("no-retry", s.name, "no retry: line came")
	}
	if r.hello() == nil {
		e.leaveOut("probes, caching, resuming: this is no stream of sse_push (no sse:connected came)")
		if evidence := php(s.url, r.header); evidence != "" {
			e.find("php-worker", s.name, "no sse:connected came, and %s", evidence)
		} else {
			e.find("own-stream", s.name, "no sse:connected came")
		}
	}
}

// php returns what shows that a PHP script answers, or "".
func php(streamURL string, h http.Header) string {
	if by := h.Get("X-Powered-By"); strings.HasPrefix(by, "PHP/") {
		return "X-Powered-By is " + by
	}
	if u, err := url.Parse(streamURL); err == nil && strings.HasSuffix(u.Path, ".php") {
		return "the URL is a PHP script's"
	}
	return ""
}

// ownDoing are the reasons for which the hub refuses streams only because this examination opens so many.
var ownDoing = []string{"per_user", "per_ip", "rate", "in_use"}

func (e *examination) judgeRejection(s *stream, data string) {
	for _, reason := range ownDoing {
		if strings.Contains(data, `"`+reason+`"`) {
			e.leaveOut("%s: the hub has too many streams of this examination (%s)", s.name, reason)
			return
		}
	}
	e.find("rejected", s.name, "the hub answers sse:rejected %s", data)
}

// judgeProtocols adds a finding if browsers do not get HTTP/2.
func (e *examination) judgeProtocols() {
	u, err := url.Parse(e.URL)
	if err != nil {
		return
	}
	if u.Scheme == "http" {
		code := "h1-only"
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip.IsLoopback() {
			code = "h1-here"
		}
		if slices.ContainsFunc(e.public, func(s *stream) bool { return s.look().answered() }) {
			e.find(code, "", "the URL is http:, over which browsers speak HTTP/1.1")
		}
		return
	}
	for _, s := range e.public {
		if r := s.look(); s.h2 && r.answered() && r.major < 2 {
			e.find("h1-only", "", "HTTP/2 was offered, and the answer is %s", r.protocol)
			return
		}
	}
}
