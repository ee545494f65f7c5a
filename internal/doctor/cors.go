package doctor

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// cors opens a stream as a page of another origin does, and checks what it is permitted.
func (e *examination) cors(ctx context.Context) {
	if e.Origin == "" {
		e.leaveOut("whether a page on another host may listen: give its --origin")
		return
	}
	k, _ := e.best()
	s := e.start(ctx, k, http.Header{"Origin": {e.Origin}})
	defer s.leave()
	s.wait(ctx, e.Timeout, func(r *record) bool { return r.answered() || !r.ended.IsZero() })
	r := s.look()
	if !r.answered() {
		e.leaveOut("whether a page of %s may listen: no answer came", e.Origin)
		return
	}
	if r.status != http.StatusOK {
		e.find("cors-refused", k.name, "a page of %s gets status %d", e.Origin, r.status)
		return
	}
	for _, f := range judgeCORS(e.Origin, r.header) {
		e.find(f.code, k.name, "%s", f.seen)
	}
	for _, seen := range judgeCookies(e.Origin, e.URL, r.header) {
		e.find("cookie-samesite", k.name, "%s", seen)
	}
	e.preflight(ctx)
}

// fault is a finding's code, and what was seen.
type fault struct{ code, seen string }

// judgeCORS returns the faults in what an answer permits to a page of an origin.
func judgeCORS(origin string, h http.Header) (faults []fault) {
	allowed := h.Values("Access-Control-Allow-Origin")
	switch {
	case len(allowed) == 0:
		return []fault{{"cors-refused", "the answer has no Access-Control-Allow-Origin for " + origin}}
	case len(allowed) > 1 || strings.Contains(allowed[0], ","):
		return []fault{{"cors-twice", "the answer has Access-Control-Allow-Origin twice: " + strings.Join(allowed, ", ")}}
	case allowed[0] == "*":
		return []fault{{"cors-credentials", "Access-Control-Allow-Origin is *"}}
	case allowed[0] != origin:
		return []fault{{"cors-refused", "Access-Control-Allow-Origin is " + allowed[0] + ", not " + origin}}
	case !slices.Equal(h.Values("Access-Control-Allow-Credentials"), []string{"true"}):
		return []fault{{"cors-credentials", "Access-Control-Allow-Credentials is not true"}}
	}
	return nil
}

// judgeCookies describes the cookies that browsers would not send from a page on another site.
func judgeCookies(origin, streamURL string, h http.Header) (seen []string) {
	if !crossSite(origin, streamURL) {
		return nil
	}
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.SameSite != http.SameSiteNoneMode || !c.Secure {
			seen = append(seen, "the cookie "+c.Name+" is set without SameSite=None and Secure")
		}
	}
	return seen
}

// crossSite reports whether two URLs belong to different sites in the sense of cookies.
func crossSite(a, b string) bool {
	site := func(s string) string {
		u, err := url.Parse(s)
		if err != nil {
			return ""
		}
		if registered, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname()); err == nil {
			return u.Scheme + "://" + registered
		}
		return u.Scheme + "://" + u.Hostname() // an address, or a name of one label
	}
	return site(a) != site(b)
}

// preflight sends the request that a browser sends first for a page that uses fetch.
func (e *examination) preflight(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, e.URL, nil)
	if err != nil {
		return
	}
	req.Header.Set("Origin", e.Origin)
	req.Header.Set("Access-Control-Request-Method", http.MethodGet)
	req.Header.Set("Access-Control-Request-Headers", "last-event-id") // in lower case, as browsers send it
	t := transport(e.Insecure)
	t.DisableKeepAlives = true
	res, err := t.RoundTrip(req)
	if err != nil {
		return
	}
	res.Body.Close()
	names := strings.ToLower(strings.Join(res.Header.Values("Access-Control-Allow-Headers"), ","))
	switch {
	case res.StatusCode >= http.StatusMultipleChoices:
		e.find("cors-preflight", "", "the preflight (OPTIONS) gets status %d", res.StatusCode)
	case !strings.Contains(names, "last-event-id") && names != "*":
		e.find("cors-preflight", "", "the preflight (OPTIONS) does not allow Last-Event-ID")
	}
}
