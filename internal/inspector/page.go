// Package inspector serves a page on which an operator sees what a hub does, publishes by hand, and disconnects clients: the
// page's files, its sign-in and sessions, a stream of what happens, and the calls of internal/api.
package inspector

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// Page serves the inspector of a hub.
type Page struct {
	path     string
	hub      *pool.Ref
	tokens   []secret.Hash
	attempts attempts
	viewers  atomic.Int32 // open streams

	log        *zap.Logger
	complaints problem.Complaints

	// Closed when the config is no longer in force. A page that is open then connects again, to the new config.
	replaced <-chan struct{}
}

// shortToken is how many characters a token should have at least, since anyone with a browser may guess.
const shortToken = 16

// New returns the page of a hub. replaced is closed when the config is no longer in force.
func New(s *Settings, hub *pool.Ref, log *zap.Logger, replaced <-chan struct{}) (*Page, error) {
	for _, token := range s.Tokens {
		if n := len(strings.TrimSpace(token)); n < shortToken {
			log.Warn(fmt.Sprintf("inspector: token: %d characters are easily guessed; give at least %d", n, shortToken))
		}
	}
	tokens, err := secret.Sums(s.Tokens)
	if err != nil {
		return nil, err
	}
	return &Page{path: s.Path, hub: hub, tokens: tokens, log: log, replaced: replaced}, nil
}

// Serve answers everything at or below the inspector's path.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request) error {
	setPageHeaders(w)
	rest, ok := strings.CutPrefix(r.URL.Path, p.path)
	if ok && rest == "" {
		// Relative, as a proxy in front may have cut a prefix off the path.
		w.Header().Set("Location", "./"+url.PathEscape(path.Base(p.path))+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	call, below := strings.CutPrefix(rest, "/")
	if !ok || !below {
		return caddyhttp.Error(http.StatusNotFound, nil)
	}
	if file, ok := files[call]; ok {
		serveFile(w, r, file)
		return nil
	}
	if refused := p.answer(w, r, call); refused != nil {
		refused.Write(w)
	}
	return nil
}

// setPageHeaders isolates the page: nothing from another host, no inline script, no frame around it.
func setPageHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
}

// answer answers a call of the page, or returns why not.
func (p *Page) answer(w http.ResponseWriter, r *http.Request, call string) *problem.Problem {
	if refused := checkPage(r); refused != nil {
		return refused
	}
	if call == "session" {
		return p.serveSession(w, r)
	}
	expires, ok := p.session(r)
	if !ok {
		return problem.New(http.StatusUnauthorized, "sign in")
	}
	hub, err := p.hub.Get(r.Context())
	if err != nil {
		return problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	if call == "stream" {
		return p.serveStream(w, r, hub, expires)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		remote, _ := request.ClientAddress(r)
		p.log.Info("inspector: "+strings.ToLower(r.Method)+" "+problem.Clip(call), zap.String("remote", remote))
	}
	api.Serve(w, r, hub, api.Call{Path: call, Escaped: request.EscapedBelow(r.URL, len(r.URL.Path)-len(call)), Log: p.log})
	return nil
}

// pageHeader is on each call that changes something. A form on another site cannot set it.
const pageHeader = "X-SSE-Inspector"

// checkPage refuses calls from pages other than the inspector's own.
func checkPage(r *http.Request) *problem.Problem {
	refused := problem.New(http.StatusForbidden, "only the inspector's own page may call here")
	// The browser sends "none" if the operator opens the page.
	if site := r.Header[request.HeaderSite]; len(site) > 1 || len(site) == 1 && site[0] != "same-origin" && site[0] != "none" {
		return refused
	}
	origin := r.Header["Origin"]
	if len(origin) > 0 && !request.IsOwnOrigin(r) {
		return refused
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if len(origin) != 1 || r.Header.Get(pageHeader) == "" {
		return refused
	}
	return nil
}
