package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// maxUnread is how much of an answer's body is read and dropped, in bytes: only the headers count.
const maxUnread = 64 << 10

// asker sends a question to the app and returns the answer's status and headers. It calls done when nothing of the question is
// under way any more, which may be after it has returned.
type asker func(ctx context.Context, q *question, done func()) (int, http.Header, error)

// newAsker returns the asker for a path of the site, a URL or a Unix socket.
func newAsker(target string) asker {
	if strings.HasPrefix(target, "/") {
		return askSite(target)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // the app is near
	transport.MaxResponseHeaderBytes = maxUnread
	if socket, path, ok := unixTarget(target); ok {
		var dialer net.Dialer
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
		target = "http://localhost" + path
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return askURL(target, client)
}

// unixTarget splits a target such as unix:///run/app.sock:/whoami.
func unixTarget(target string) (socket, path string, ok bool) {
	rest, ok := strings.CutPrefix(target, "unix://")
	if !ok {
		return "", "", false
	}
	socket, path, ok = strings.Cut(rest, ":")
	u, err := url.Parse(path)
	return socket, path, ok && strings.HasPrefix(socket, "/") && strings.HasPrefix(path, "/") && err == nil && u.Host == "" && u.Fragment == ""
}

// askURL returns an asker that reaches the app over the network.
func askURL(target string, client *http.Client) asker {
	return func(ctx context.Context, q *question, done func()) (int, http.Header, error) {
		defer done()
		r, err := q.request(ctx, target)
		if err != nil {
			return 0, nil, err
		}
		r.Header.Set("X-Forwarded-For", q.remote)
		r.Header.Set("X-Forwarded-Host", q.r.Host)
		r.Header.Set("X-Forwarded-Proto", q.scheme())
		resp, err := client.Do(r)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxUnread+1)) // so that the connection can be reused
		if err == nil && n > maxUnread {
			err = errTooMuch
		}
		return resp.StatusCode, resp.Header, err
	}
}

var errTooMuch = fmt.Errorf("it sent more than %d bytes, but only headers are needed", maxUnread)

// siteKey is the context key of a question on its way through the handlers of a site.
type siteKey struct{}

// IsSiteQuestion reports whether a request is a question that this process sent through the handlers of a site. Only these
// handlers can have changed its headers, and those of its answer.
func IsSiteQuestion(r *http.Request) bool { return r.Context().Value(siteKey{}) != nil }

// headerQuestion is the header that marks a question. Its value is questionMark.
const headerQuestion = "X-Sse-Question"

// questionMark is the value of headerQuestion. No client can guess it, but the app sees it, so it proves nothing.
var questionMark = rand.Text()

// IsQuestion reports whether a request is a question of this process that has come back to it, through the handlers of a site or
// over the network. It must not lead to another question.
func IsQuestion(r *http.Request) bool {
	mark := r.Header[headerQuestion]
	return IsSiteQuestion(r) || len(mark) == 1 && mark[0] == questionMark
}

// askSite returns an asker for a path of the site that the client's request came to. The question passes all of the site's own
// handlers.
func askSite(path string) asker {
	return func(ctx context.Context, q *question, done func()) (int, http.Header, error) {
		server, ok := q.r.Context().Value(caddyhttp.ServerCtxKey).(http.Handler)
		if !ok {
			done()
			return 0, nil, errors.New("there is no site")
		}
		ctx, cancel := context.WithCancelCause(context.WithValue(ctx, siteKey{}, true))
		for _, key := range []any{http.ServerContextKey, http.LocalAddrContextKey} {
			ctx = context.WithValue(ctx, key, q.r.Context().Value(key))
		}
		r, err := q.request(ctx, path)
		if err != nil {
			cancel(nil)
			done()
			return 0, nil, err
		}
		for name, lines := range q.forwarded() {
			r.Header[name] = lines
		}
		r.RequestURI, r.Host, r.RemoteAddr, r.TLS = path, q.r.Host, q.peer(), q.tls()
		r.Body = http.NoBody
		w := &subresponse{header: http.Header{}, cancel: cancel}
		served := make(chan error, 1)
		go func() { // a handler that ignores its context goes on by itself
			defer done()
			defer func() {
				if p := recover(); p != nil {
					served <- fmt.Errorf("the site's handler failed: %v", p)
				}
			}()
			server.ServeHTTP(w, r)
			served <- nil
		}()
		defer cancel(nil)
		select {
		case err = <-served:
		case <-ctx.Done():
		}
		if cause := context.Cause(ctx); cause != nil {
			return 0, nil, cause
		}
		if err != nil {
			return 0, nil, err
		}
		w.WriteHeader(http.StatusOK) // as net/http does for a handler that writes nothing
		return w.status, w.sent, nil
	}
}

// subresponse is a response writer that keeps the status and headers of an answer.
type subresponse struct {
	header http.Header // the handler's
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards all below: a handler may write from several goroutines
	status int
	sent   http.Header
	size   int
}

func (w *subresponse) Header() http.Header { return w.header }

func (w *subresponse) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write drops the body. It returns no error: some handlers panic at one.
func (w *subresponse) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size += len(b); w.size > maxUnread {
		w.cancel(errTooMuch)
	}
	return len(b), nil
}

// Flush lets handlers flush.
func (w *subresponse) Flush() { w.WriteHeader(http.StatusOK) }
