package source

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// nobody is the address of an upstream request that is made for everyone: it is no client's, and none that an app may trust.
const nobody = "0.0.0.0:0"

// visitor is what a source keeps of a client's request, to make its own of it.
type visitor struct {
	terms  *terms
	next   caddyhttp.Handler
	server *caddyhttp.Server
	conn   string // the id of its connection; "" until the client listens

	host, remote  string
	url, asked    *url.URL // as the site has rewritten it, and as the client sent it
	uri, askedURI string
	header        http.Header
	tls           *tls.ConnectionState
	vars          map[string]any
	values        map[any]any // more of the context
}

// leftOut are the headers of a client that its source does not send: they are the connection's, or would change what the answer is.
var leftOut = []string{
	"Accept-Encoding", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Last-Event-Id",
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect",
}

// Variables of the site's handlers. What they have set may come from a client.
var (
	ownVars  = []string{caddyhttp.ClientIPVarKey, caddyhttp.TrustedProxyVarKey, "start_time", "uuid", "trace_id", "span_id"} // of one request
	fileVars = []string{"root", "fs"}                                                                                        // without which PHP and file servers find nothing
)

// withoutIDs removes from a URL, and from the same as it was sent, the ids that a client goes on from.
func withoutIDs(u *url.URL, uri *string) {
	if query := subscribe.WithoutLastEventIDs(u.RawQuery); query != u.RawQuery {
		u.RawQuery = query
		*uri = u.RequestURI()
	}
}

// newVisitor returns what a source keeps of a request. next are the site's next handlers.
func (t *terms) newVisitor(r *http.Request, next caddyhttp.Handler) *visitor {
	v := &visitor{terms: t, next: next, host: strings.Clone(r.Host), remote: r.RemoteAddr, uri: r.RequestURI, header: r.Header.Clone(), tls: r.TLS}
	v.server, _ = r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	original := originalOf(r)
	asked, present := *original.URL, *r.URL
	v.asked, v.askedURI, v.url = &asked, original.RequestURI, &present
	withoutIDs(&present, &v.uri) // they are of the proxy's log, like those in the header Last-Event-ID
	withoutIDs(&asked, &v.askedURI)
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	v.vars = maps.Clone(vars)
	v.values = map[any]any{}
	for _, key := range []any{http.ServerContextKey, http.LocalAddrContextKey} {
		v.values[key] = r.Context().Value(key)
	}
	maps.DeleteFunc(v.vars, func(name string, _ any) bool {
		return slices.Contains(ownVars, name) || t.settings.Share == Everyone && !slices.Contains(fileVars, name)
	})
	for _, name := range leftOut {
		v.header.Del(name)
	}
	instruction.Strip(v.header)
	if t.settings.Share == Everyone {
		v.header, v.remote = http.Header{}, nobody
		present.RawQuery, asked.RawQuery = t.settings.rewritten(&present, &asked), t.settings.query(&asked) // no other parameter of this client
		v.uri, v.askedURI = present.RequestURI(), asked.RequestURI()
		if r.TLS != nil {
			v.tls = &tls.ConnectionState{
				Version: r.TLS.Version, HandshakeComplete: true, CipherSuite: r.TLS.CipherSuite,
				NegotiatedProtocol: r.TLS.NegotiatedProtocol, ServerName: r.TLS.ServerName,
			}
		}
	}
	v.header.Set("Accept", "text/event-stream")
	v.header.Set("Accept-Encoding", "identity") // without it, Go's transport asks for gzip
	return v
}

// passKey is the context key of a source's own request, with its *pass.
type passKey struct{}

// pass marks the request of a source on its way through the site. The route that it belongs to passes it on.
type pass struct {
	terms     *terms // of the route that has passed it on; nil until then
	wholeSite bool   // it is taken through the whole site, not only through the next handlers
}

// request returns an upstream request: one for the next handlers, or for the whole site.
func (v *visitor) request(ctx context.Context, w http.ResponseWriter, lastEventID string, wholeSite bool) *http.Request {
	for key, value := range v.values {
		if value != nil {
			ctx = context.WithValue(ctx, key, value)
		}
	}
	asked := *v.asked
	r := (&http.Request{
		Method: http.MethodGet, URL: &asked, RequestURI: v.askedURI, Host: v.host, RemoteAddr: v.remote, TLS: v.tls,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: v.header.Clone(), Body: http.NoBody,
	}).WithContext(ctx)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	if wholeSite {
		return r
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, v.server) // with the URL that the client sent, which handlers may ask for
	if vars, ok := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		maps.Copy(vars, v.vars)
	}
	*r.URL, r.RequestURI = *v.url, v.uri
	return r
}
