package inspector

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

const (
	sessionCookie = "sse_push_inspector"
	// sessionTime is how long a session lasts.
	sessionTime = 12 * time.Hour
	// maxSignIn bounds the body that signs in, in bytes.
	maxSignIn = 8 << 10
)

// serveSession answers whether the request has a session, begins one, or ends it.
func (p *Page) serveSession(w http.ResponseWriter, r *http.Request) *problem.Problem {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if _, ok := p.session(r); !ok {
			return problem.New(http.StatusUnauthorized, "sign in")
		}
	case http.MethodPost:
		key, refused := p.signIn(w, r)
		if refused != nil {
			return refused
		}
		http.SetCookie(w, p.cookie(r, key, time.Now().Add(sessionTime)))
	case http.MethodDelete:
		gone := p.cookie(r, nil, time.Time{})
		gone.MaxAge = -1
		http.SetCookie(w, gone)
	default:
		return problem.MethodNotAllowed(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// signIn returns the hash of the token that a request gives.
func (p *Page) signIn(w http.ResponseWriter, r *http.Request) ([]byte, *problem.Problem) {
	remote, network := request.ClientAddress(r)
	var body struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSignIn)).Decode(&body); err != nil {
		return nil, problem.New(http.StatusBadRequest, `the body must be {"token": "…"}`)
	}
	// Counted before the token is compared, so that many at once do not slip through.
	if wait := p.attempts.take(network, time.Now()); wait > 0 {
		p.complain("too many wrong tokens", remote)
		return nil, problem.RetryLater(http.StatusTooManyRequests, wait, "too many attempts; wait %s", wait.Round(time.Second))
	}
	by := secret.Match(strings.TrimSpace(body.Token), p.tokens)
	if by < 0 {
		p.complain("wrong token", remote)
		return nil, problem.New(http.StatusUnauthorized, "the token is wrong")
	}
	p.attempts.forgive(network)
	p.log.Info("inspector: signed in", zap.String("remote", remote))
	return p.tokens[by][:], nil
}

// complain logs a refusal, each reason at most once a minute.
func (p *Page) complain(reason, remote string) {
	if more, due := p.complaints.Take(reason, time.Now()); due {
		fields := []zap.Field{zap.String("reason", reason), zap.String("remote", remote)}
		p.log.Warn("inspector: sign-in refused", append(fields, problem.LeftOut(more)...)...)
	}
}

// cookie returns the cookie of a session, or the one that ends it if key is nil. It does not hold the token, and expires. It
// names no path, so that the browser sends it only below the page's own URL (RFC 6265, section 5.1.4): a proxy in front may
// have stripped a prefix, which cannot be seen here.
func (p *Page) cookie(r *http.Request, key []byte, expires time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: sessionCookie, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
	if key != nil {
		c.Value, c.MaxAge = p.seal(key, expires), int(time.Until(expires)/time.Second)
	}
	return c
}

// seal returns a session as text: the second in which it ends, and a signature that proves that it began with a token.
func (p *Page) seal(key []byte, expires time.Time) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sse_push inspector\x00" + p.path + "\x00"))
	mac.Write(end)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(end))
}

// session returns when a request's session ends, and reports whether it has one.
func (p *Page) session(r *http.Request) (expires time.Time, ok bool) {
	for _, value := range request.Cookies(r, sessionCookie) {
		b, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil || len(b) != 8+sha256.Size {
			continue
		}
		expires = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
		for n := range p.tokens {
			if hmac.Equal([]byte(value), []byte(p.seal(p.tokens[n][:], expires))) && time.Now().Before(expires) {
				return expires, true
			}
		}
	}
	return time.Time{}, false
}
