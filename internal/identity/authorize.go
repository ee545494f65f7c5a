package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/fair"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

const (
	defaultTTL         = 10 * time.Second
	maxKept            = 10 * time.Minute
	defaultAskTimeout  = 5 * time.Second
	defaultExpires     = time.Hour
	maxExpires         = 366 * 24 * time.Hour
	defaultConcurrency = 8
	// maxAnswers is how many of the app's answers are kept.
	maxAnswers = 20_000
	// maxAsked bounds the cookies and headers that are sent to the app, in bytes.
	maxAsked = 16 << 10
)

// Authorize asks the app who a client is, with the client's own cookies and headers. The app answers with a status: 200
// with the header `X-SSE-User` lets the client in, 200 without that header names no user, and 401 and 403 refuse the client.
// After any other answer, or none in time, the client comes again later.
type Authorize struct {
	// What to ask: a path of the same site, such as `/whoami`, or a URL: `http://`, `https://`, or a Unix socket and a
	// path, such as `unix:///run/app.sock:/whoami`.
	Target string `json:"target"`

	// The cookies that are sent to the app. Default: all.
	Cookies []string `json:"cookies,omitempty"`

	// The headers that are sent to the app, besides the cookies. Default: `Authorization`.
	Headers []string `json:"headers,omitempty"`

	// How long an answer that lets a client in is reused for the same cookies, headers, address and topics. If `target` is a path,
	// the connection has to be the same too: direct peer, server address and name, client certificate. Up to 10m. Default: 10s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long the app may take. The time that a question waits for its turn does not count; it may be twice as long. Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long a stream lives if the app does not say so by `X-SSE-Expires` (in seconds). The browser then comes back, and the app is
	// asked again. Default: 1h.
	Expires caddy.Duration `json:"expires,omitempty"`

	// How many questions may be under way at once. Others wait; they take turns by the clients' addresses (IPv6: by /64).
	// Default: 8.
	Concurrency int `json:"concurrency,omitempty"`
}

// Check reports what is wrong with the settings.
func (a *Authorize) Check() error {
	for _, target := range placeholder.Settled(a.Target) {
		if err := checkTarget(target); err != nil {
			return err
		}
	}
	for _, name := range placeholder.Settled(a.Cookies...) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("cookies: %q is not the name of a cookie", name)
		}
	}
	for _, name := range placeholder.Settled(a.Headers...) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if !httpguts.ValidHeaderFieldName(name) || slices.Contains(notSentOn, canonical) || instruction.Is(name) {
			return fmt.Errorf("headers: %q cannot be forwarded", name)
		}
	}
	for _, d := range []caddy.Duration{a.TTL, a.Timeout, a.Expires} {
		if d < 0 {
			return errors.New("ttl, timeout, expires: must not be negative")
		}
	}
	switch {
	case time.Duration(a.TTL) > maxKept:
		return fmt.Errorf("ttl: must be at most %s", maxKept)
	case time.Duration(a.Timeout) > time.Minute:
		return fmt.Errorf("timeout: must be at most %s", time.Minute)
	case a.Expires != 0 && time.Duration(a.Expires) < time.Second:
		return errors.New("expires: must be at least 1s")
	case a.Concurrency < 0:
		return errors.New("concurrency: must not be negative")
	}
	return nil
}

// checkTarget reports what is wrong with the path or URL at which the app is asked.
func checkTarget(target string) error {
	if strings.HasPrefix(target, "/") {
		return request.CheckPath(target)
	}
	if _, _, ok := unixTarget(target); ok {
		return nil
	}
	if err := checkHTTP(target); err != nil {
		return fmt.Errorf("%w, nor a path such as /whoami, nor unix:///run/app.sock:/whoami", err)
	}
	return nil
}

// notSentOn are headers that describe a message, or that a question sets itself.
var notSentOn = []string{"Accept", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

func newAuthorizer(a *Authorize) *authorizer {
	v := &authorizer{
		name: "authorize " + a.Target, cookies: a.Cookies,
		ttl: cmp.Or(time.Duration(a.TTL), defaultTTL), timeout: cmp.Or(time.Duration(a.Timeout), defaultAskTimeout),
		lifetime: cmp.Or(time.Duration(a.Expires), defaultExpires),
		ask:      newAsker(a.Target),
		queue:    fair.New(cmp.Or(a.Concurrency, defaultConcurrency), maxQueued),
		answers:  map[answerKey]kept{},
		flights:  map[string]*flight{},
		site:     strings.HasPrefix(a.Target, "/"),
	}
	for _, name := range a.Headers {
		v.headers = append(v.headers, textproto.CanonicalMIMEHeaderKey(name))
	}
	if a.Headers == nil {
		v.headers = []string{"Authorization"}
	}
	return v
}

// authorizer asks the app, and keeps its answers for a moment.
type authorizer struct {
	name             string
	cookies, headers []string
	ttl, timeout     time.Duration
	lifetime         time.Duration
	ask              asker
	site             bool        // whether the app is asked through the handlers of the site
	queue            *fair.Queue // of questions, by the clients' addresses

	mu      sync.Mutex // guards all below
	answers map[answerKey]kept
	flights map[string]*flight // by key and purges
	purges  uint64             // counts the calls of forgetUser
}

// answerKey is a hash of all that the app sees of a request, so that no cookie is kept.
type answerKey [sha256.Size]byte

// kept is an answer that is reused for a moment.
type kept struct {
	grant *Grant
	until time.Time
}

// vouches implements verifier.
func (v *authorizer) vouches(by string) bool { return by == v.name }

// verify implements verifier. A client that sends something for the app is admitted before the app is asked.
func (v *authorizer) verify(r *attempt) (*Grant, error) {
	q, size := v.question(r.Request)
	if len(q.header) == 0 {
		return nil, nil
	}
	if p := r.enter(); p != nil {
		return nil, p
	}
	if size > maxAsked {
		return nil, invalid("cookies and headers are too long")
	}
	q.asksFor(r.params["topic"])
	key := q.key(r.route)
	g, purges := v.known(key)
	if g != nil {
		return g, nil
	}
	// A client that asks after a purge must not get an answer from before it.
	id := string(key[:]) + strconv.FormatUint(purges, 10)
	return v.wait(r.Context(), v.board(id, q, key, purges))
}

// known returns the kept answer for a key, or nil, and the number of purges so far.
func (v *authorizer) known(key answerKey) (*Grant, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if k, ok := v.answers[key]; ok && time.Now().Before(k.until) {
		return k.grant, v.purges
	}
	return nil, v.purges
}

// keep keeps an answer, unless there was a purge since the app was asked. Refusals are not kept: a user who has just logged
// in may have the same cookie as before, and an EventSource that is refused gives up for good.
func (v *authorizer) keep(key answerKey, g *Grant, purges uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.purges != purges {
		return
	}
	now := time.Now()
	if len(v.answers) >= maxAnswers {
		for k, a := range v.answers {
			if !now.Before(a.until) {
				delete(v.answers, k)
			}
		}
		for k := range v.answers {
			if len(v.answers) < maxAnswers*9/10 {
				break
			}
			delete(v.answers, k)
		}
	}
	until := now.Add(v.ttl)
	if g.Expires.Before(until) {
		until = g.Expires
	}
	v.answers[key] = kept{g, until}
}

// forgetUser drops what the app has said of a user; "" stands for all users.
func (v *authorizer) forgetUser(user string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.purges++
	for k, a := range v.answers {
		if user == "" || a.grant.User == user {
			delete(v.answers, k)
		}
	}
}

// failing returns the refusal for now of a client about which the app has not decided.
func failing(cause string) *refusal { return &refusal{public: "authorize", cause: cause} }

// get asks the app. The caller has entered the queue; get leaves it when nothing of the question is under way any more.
func (v *authorizer) get(q *question) (*Grant, error) {
	ctx, cancel := context.WithTimeout(context.Background(), v.timeout) // no client's context: others may wait for the answer too
	defer cancel()
	status, header, err := v.ask(ctx, q, func() { v.queue.Leave(q.network) })
	cached := instruction.WhyCached(status, header)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return nil, failing("the app takes too long")
	case err != nil:
		e := failing("the app cannot be asked")
		e.detail = err.Error()
		return nil, e
	case cached != "" && (header.Get("X-SSE-User") != "" || status == http.StatusUnauthorized || status == http.StatusForbidden):
		return nil, failing("the app did not write the answer for this request: " + cached)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, &refusal{status: status, public: "by the app", cause: fmt.Sprintf("the app answered %d", status)}
	case status >= 300 && status < 400:
		return nil, failing("the app answered with a redirect, which is not followed: let it answer 401")
	case status == http.StatusLoopDetected:
		return nil, failing("the app answered 508: the question came back to sse_push; ask a path of the site that leads to the app, or the app's own address")
	case status != http.StatusOK && status != http.StatusNoContent:
		return nil, failing(fmt.Sprintf("the app answered %d", status))
	}
	return v.read(header)
}
