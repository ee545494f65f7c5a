// Package guard decides who may call the internal route, and which pages of other origins may subscribe.
package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// Guard decides who may call the internal route.
type Guard struct {
	tokens  []secret.Hash
	allow   request.Prefixes
	origins []string
	near    request.Prefixes // peers that get a 401 with the reason

	log *zap.Logger
	now func() time.Time

	complaints problem.Complaints // of reasons
}

// Reasons for a refusal. Each is logged at most once in problem.Every.
const (
	strangePeer  = "peer not in allow"
	forwarded    = "forwarded request"
	strangeHost  = "unknown host"
	fromBrowser  = "request from a browser"
	missingToken = "missing token"
	wrongToken   = "wrong token"
)

// New returns the guard of a route.
func New(in *Internal, log *zap.Logger) (*Guard, error) {
	if len(in.Tokens) == 0 && len(in.Allow) == 0 {
		return nil, errors.New("internal needs token, allow, or both")
	}
	g := &Guard{origins: slices.Clone(in.Origins), log: log, now: time.Now}
	var err error
	if g.tokens, err = secret.Sums(in.Tokens); err != nil {
		return nil, err
	}
	if g.allow, err = request.ParsePrefixes(in.Allow); err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if g.near, err = request.ParsePrefixes([]string{"loopback", "private_ranges"}); err != nil {
		return nil, err
	}
	return g, nil
}

// Check returns nil if the request may pass. Otherwise it returns a 404 that does not reveal the route, or a 401 for a nearby
// app whose token is missing or wrong.
func (g *Guard) Check(r *http.Request) *problem.Problem {
	addr, known := request.Peer(r)
	viaProxy := request.IsForwarded(r.Header)
	reason := ""
	switch {
	case isFromBrowser(r.Header) && !g.isListed(r):
		reason = fromBrowser
	case g.allow != nil && !(known && g.allow.Contains(addr)):
		reason = strangePeer
	case g.allow != nil && viaProxy:
		reason = forwarded
	case len(g.tokens) > 0:
		reason = g.checkToken(r.Header)
	case !isFromBrowser(r.Header) && !request.IsOwnHost(r):
		reason = strangeHost // may be a browser, which sends no Sec-Fetch headers to insecure hosts
	}
	if reason == "" {
		return nil
	}
	g.warn(addr, reason)
	if (reason == missingToken || reason == wrongToken) && known && g.near.Contains(addr) && !viaProxy {
		return problem.New(http.StatusUnauthorized, "%s: send Authorization: Bearer <secret>", reason)
	}
	return problem.New(http.StatusNotFound, "")
}

// checkToken returns the reason to refuse a request by its token, or "" if the token is right.
func (g *Guard) checkToken(h http.Header) string {
	values := h["Authorization"]
	if len(values) == 0 {
		return missingToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if secret.Match(strings.TrimSpace(token), g.tokens) < 0 || len(values) != 1 || !strings.EqualFold(scheme, "Bearer") {
		return wrongToken
	}
	return ""
}

// isFromBrowser reports whether a request has a header by which browsers are known.
func isFromBrowser(h http.Header) bool {
	_, origin := h["Origin"]
	_, site := h[request.HeaderSite]
	return origin || site
}

// isListed reports whether a browser sent the request for a page of a listed origin.
func (g *Guard) isListed(r *http.Request) bool {
	if values, ok := r.Header["Origin"]; ok {
		// Every sandboxed page sends "null".
		return len(values) == 1 && values[0] != "null" && slices.Contains(g.origins, values[0])
	}
	// A GET to the page's own origin has no Origin header.
	if !request.IsSameOrigin(r) {
		return false
	}
	if slices.Contains(g.origins, "https://"+r.Host) {
		return true
	}
	return r.TLS == nil && slices.Contains(g.origins, "http://"+r.Host)
}

// warn logs a refusal with what to change if the peer may call.
func (g *Guard) warn(addr netip.Addr, reason string) {
	more, due := g.complaints.Take(reason, g.now())
	if !due {
		return
	}
	who, hint := addr.String(), reason
	switch reason {
	case strangePeer:
		hint = fmt.Sprintf(`add "allow %s" to internal if it may call`, who)
		if !addr.IsValid() {
			who, hint = "unknown", `"allow" needs the peer's address, which is unknown`
		}
	case forwarded:
		hint = `"allow" does not admit forwarded requests: call directly, or use "token" instead`
	case strangeHost:
		hint = `"allow" admits only addresses, local host names and the host names of sites: name the host in the site's address, or use "token"`
	case fromBrowser:
		hint = `add "origins" to internal if pages may call`
	}
	g.log.Warn(fmt.Sprintf("peer %s refused; %s", who, hint), append([]zap.Field{zap.String("peer", who), zap.String("reason", reason)}, problem.LeftOut(more)...)...)
}
