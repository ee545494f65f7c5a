package identity

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// question is the part of a client's request that the app sees.
type question struct {
	r      *http.Request // the client's
	header http.Header   // the headers of it that the app sees
	topics []string      // that the client asks for
	site   bool          // whether it goes through the handlers of the site, which see the client's connection as well

	remote, network string // the client's address, and the network by which clients take turns
}

// scheme returns the scheme of the URL that the client asked for.
func (q *question) scheme() string {
	if q.r.TLS != nil {
		return "https"
	}
	return "http"
}

// forwarded returns the headers by which a proxy in front says where a request came from. The site trusts them or not, as in
// any other request from the same peer.
func (q *question) forwarded() http.Header {
	names := []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
	if server, ok := q.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		names = append(names, server.ClientIPHeaders...)
	}
	h := http.Header{}
	for _, name := range names {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if lines := q.r.Header[name]; len(lines) > 0 {
			h[name] = lines
		}
	}
	return h
}

// peer returns the address of the direct peer with the port 0, as each connection has another one.
func (q *question) peer() string {
	host, _, err := net.SplitHostPort(q.r.RemoteAddr)
	if err != nil {
		return q.r.RemoteAddr
	}
	return net.JoinHostPort(host, "0")
}

// tls returns the state of the client's TLS connection for the site's handlers, without what differs between two connections
// of one client.
func (q *question) tls() *tls.ConnectionState {
	if q.r.TLS == nil {
		return nil
	}
	state := *q.r.TLS
	state.DidResume, state.TLSUnique = false, nil
	return &state
}

// connection returns all that the site's handlers can see of the client's connection, as parts of the key.
func (q *question) connection() []string {
	parts := []string{q.peer(), fmt.Sprint(q.r.Context().Value(http.LocalAddrContextKey))}
	state := q.tls()
	if state == nil {
		return parts
	}
	parts = append(parts, state.ServerName, state.NegotiatedProtocol, strconv.Itoa(int(state.Version)), strconv.Itoa(int(state.CipherSuite)),
		fmt.Sprint(state.HandshakeComplete, state.ECHAccepted))
	for _, cert := range state.PeerCertificates {
		parts = append(parts, string(cert.Raw))
	}
	return parts
}

// request returns the request to the app. Its caller adds what depends on the way there.
func (q *question) request(ctx context.Context, target string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	r.Header = q.header.Clone()
	r.Header.Set("Accept", "application/json") // for which frameworks answer 401 instead of a login page
	r.Header.Set(headerQuestion, questionMark)
	if len(q.topics) > 0 {
		list, err := json.Marshal(q.topics)
		if err != nil {
			return nil, err
		}
		r.Header.Set("X-SSE-Topics", string(list))
	}
	return r, nil
}

// question returns the question about a request, without its topics, and the size of its cookies and headers in bytes.
func (v *authorizer) question(r *http.Request) (q *question, size int) {
	q = &question{r: r, header: http.Header{}, site: v.site}
	for _, name := range v.headers {
		for _, value := range r.Header[name] {
			q.header.Add(name, value)
			size += len(value)
		}
	}
	if cookies := v.cookiesOf(r); cookies != "" {
		q.header.Set("Cookie", cookies)
		size += len(cookies)
	}
	q.remote, q.network = request.ClientAddress(r)
	return q, size
}

// asksFor adds the topics that the client asks for.
func (q *question) asksFor(topics []string) {
	for _, t := range slices.Sorted(slices.Values(topics)) {
		if len(q.topics) < MaxTopics && rules.CheckPattern(t) == nil { // a request for any other is refused later
			q.topics = append(q.topics, t)
		}
	}
}

// cookiesOf returns the Cookie header for the app.
func (v *authorizer) cookiesOf(r *http.Request) string {
	var pairs []string
	for name, pair := range request.CookiePairs(r) {
		if len(v.cookies) == 0 || slices.Contains(v.cookies, name) {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "; ")
}

// key returns a hash of the route and of all that the app can see. The app must not see anything else: its answer is given
// to every client with the same key.
func (q *question) key(route string) (key answerKey) {
	h := sha256.New()
	write := func(s string) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	for _, s := range []string{route, q.r.Host, q.scheme(), q.remote} {
		write(s)
	}
	shown := []http.Header{q.header}
	if q.site {
		shown = append(shown, q.forwarded())
		for _, s := range q.connection() {
			write(s)
		}
		write("")
	}
	for _, lines := range shown {
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			for _, value := range lines[name] {
				write(name)
				write(value)
			}
		}
		write("")
	}
	for _, t := range q.topics {
		write(t)
	}
	h.Sum(key[:0])
	return key
}
