package source

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// secret is the process's own, so that a key says nothing about what it was made of.
var secret = func() (key [32]byte) {
	rand.Read(key[:])
	return key
}()

// key is what requests have in common that share a source.
type key [sha256.Size]byte

// credentials returns what a client has proved by sending it: cookies, Authorization, a certificate, and the user if it is proved. A
// user whose name was taken on the client's word is none.
func (s *Settings) credentials(r *http.Request, id identity.Identity) (all []string) {
	if len(s.Cookies) == 0 {
		all = append(all, r.Header["Cookie"]...)
	}
	for name, pair := range request.CookiePairs(r) {
		if slices.Contains(s.Cookies, name) {
			all = append(all, pair)
		}
	}
	if n := len(all); n > 0 {
		all = append(all, "cookies")
	}
	if lines := r.Header["Authorization"]; len(lines) > 0 {
		all = append(append(all, lines...), "authorization")
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		all = append(all, string(r.TLS.PeerCertificates[0].Raw), "certificate")
	}
	if id.Grant != nil && id.User != "" {
		all = append(all, id.User, "user")
	}
	return all
}

// keyOf returns the key of a request by a route. It reports false if the request has nothing that tells its client from others, and
// so must not be shared.
func (t *terms) keyOf(r *http.Request, id identity.Identity) (k key, ok bool) {
	s := &t.settings
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	asked := originalOf(r).URL
	parts := []string{
		t.rule(), t.place(), strconv.Itoa(t.index()), scheme, r.Host,
		asked.EscapedPath(), s.query(asked), r.URL.EscapedPath(), s.rewritten(r.URL, asked), // the next handlers may use either
	}
	if s.Share != Everyone {
		own := s.credentials(r, id)
		if len(own) == 0 {
			return key{}, false
		}
		parts = append(parts, own...)
	}
	mac := hmac.New(sha256.New, secret[:])
	for _, part := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = mac.Write(size[:])
		_, _ = io.WriteString(mac, part)
	}
	return key(mac.Sum(nil)), true
}

// query returns the query of a URL, as far as it counts. The ids that a client goes on from do not.
func (s *Settings) query(u *url.URL) string {
	if len(s.Query) == 0 {
		return subscribe.WithoutLastEventIDs(u.RawQuery)
	}
	given, counts := u.Query(), url.Values{}
	for _, name := range s.Query {
		if values, ok := given[name]; ok {
			counts[name] = values
		}
	}
	return counts.Encode()
}

// rewritten returns the query of a URL as the site has rewritten it, as far as it counts. With share everyone, all of a rewritten query
// does: what the site has added to it cannot be told from what a client has sent, and the app gets both.
func (s *Settings) rewritten(u, asked *url.URL) string {
	if whole := subscribe.WithoutLastEventIDs(u.RawQuery); s.Share == Everyone && whole != subscribe.WithoutLastEventIDs(asked.RawQuery) {
		return whole
	}
	return s.query(u)
}

// originalOf returns a request as the client has sent it, before any rewrite.
func originalOf(r *http.Request) *http.Request {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return &original
	}
	return r
}
