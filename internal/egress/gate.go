package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Gate sends requests to the origins of a config, and nowhere else.
type Gate struct {
	origins map[string]*exit // by the origin's canonical form
}

// exit is an origin, ready to be sent to.
type exit struct {
	headers   []Header
	secrets   []string // words of the headers' values, longer ones first: one may begin another
	transport *http.Transport
}

// NewGate returns a gate to the origins, whose placeholders have been filled in.
func NewGate(origins []Origin) (*Gate, error) { return newGate(origins, nil) }

func newGate(origins []Origin, resolver *net.Resolver) (*Gate, error) {
	g := &Gate{origins: map[string]*exit{}}
	for i := range origins {
		o := &origins[i]
		if err := o.Check(); err != nil {
			return nil, err
		}
		u, err := ParseURL(o.URL)
		if err != nil {
			return nil, fmt.Errorf("%q %w", Shown(o.URL), err)
		}
		if g.origins[originOf(u)] != nil {
			return nil, fmt.Errorf("%s is given twice", originOf(u))
		}
		g.origins[originOf(u)] = &exit{o.Headers, secretsOf(o.Headers), newTransport(o.Private, resolver)}
	}
	return g, nil
}

// Close closes the connections that no request is using.
func (g *Gate) Close() {
	for _, o := range g.origins {
		o.transport.CloseIdleConnections()
	}
}

// Leads reports whether requests may go to a URL that ParseURL has returned.
func (g *Gate) Leads(u *url.URL) bool { return g.origins[originOf(u)] != nil }

// Sets reports whether the config gives a header to the requests for a URL, so that a call must not.
func (g *Gate) Sets(u *url.URL, header string) bool {
	o := g.origins[originOf(u)]
	return o != nil && has(o.headers, header)
}

// hidden takes the place of a secret.
const hidden = "[hidden]"

// Hide returns a text of the answer to a request for a URL without the secrets in the headers that the config gives to it: an upstream
// may repeat them. A secret of which the text has only a part stays, so do not shorten the text before.
func (g *Gate) Hide(u *url.URL, text string) string {
	o := g.origins[originOf(u)]
	if o == nil {
		return text
	}
	for _, secret := range o.secrets {
		text = strings.ReplaceAll(text, secret, hidden)
		text = strings.ReplaceAll(text, strings.ReplaceAll(secret, "/", `\/`), hidden) // as PHP writes JSON
	}
	return text
}

// ErrNoOrigin: the config does not list the URL's origin.
var ErrNoOrigin = errors.New("the config does not list this origin")

// Unsent reports whether an error of Send says that there was no connection, so that nothing was sent. It is false for an address
// that is refused.
func Unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, errRefused)
}

// CheckMethod returns why a request cannot have a method, or nil.
func CheckMethod(method string) error {
	if method != http.MethodGet && method != http.MethodPost {
		return errors.New("must be GET or POST")
	}
	return nil
}

// Request is a request that an app asks for. Its headers have passed CheckHeaders.
type Request struct {
	Method  string   // GET or POST
	URL     *url.URL // as ParseURL returns it
	Headers map[string]string
	Body    []byte
}

// userAgent is the name of the proxy to those it sends requests to.
const userAgent = "caddy-sse-push"

// Send sends a request and returns the answer, whatever its status: no redirect is followed. The caller must close the
// answer's body.
func (g *Gate) Send(ctx context.Context, q *Request) (*http.Response, error) {
	o := g.origins[originOf(q.URL)]
	if o == nil {
		return nil, ErrNoOrigin
	}
	if err := CheckMethod(q.Method); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL.String(), nil)
	if err != nil {
		return nil, err
	}
	if q.Method == http.MethodPost && len(q.Body) > 0 {
		p := &payload{data: q.Body}
		defer p.drop()
		r.Body, _ = p.open()
		r.GetBody, r.ContentLength = p.open, int64(len(q.Body))
	}
	for name, value := range q.Headers {
		r.Header.Set(name, value)
	}
	for _, h := range o.headers {
		r.Header.Set(h.Name, h.Value)
	}
	r.Header.Set("Accept-Encoding", "identity") // saying nothing would allow any
	if r.Header["User-Agent"] == nil {
		r.Header.Set("User-Agent", userAgent)
	}
	// A client would follow redirects and take the user of a URL for credentials. The transport does neither.
	return o.transport.RoundTrip(r)
}
