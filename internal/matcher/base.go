package matcher

import (
	"errors"
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/nlnwa/whatwg-url/url"
)

// The components of a URL and of a URL pattern.
const (
	protocol = iota
	username
	password
	hostname
	port
	pathname
	search
	hash

	components
)

// Base is a hub's URL. URL patterns and relative topics are resolved against it. Its methods may be called from many goroutines at
// once.
type Base struct {
	url    string
	parsed *url.Url
	path   string // the hub's own

	// recent holds topics parsed of late, so that many patterns that are tried with a topic share the work. Each topic has one place.
	recent [64]atomic.Pointer[topicURL]
	seed   maphash.Seed
}

// topicURL is a topic as a URL.
type topicURL struct {
	topic   string
	valid   bool // it is one
	parts   [components]string
	spelled string // as an index has it
}

// bases holds the bases in use.
var bases cache[string, Base]

// parser is safe for concurrent use.
var parser = url.NewParser()

// NewBase returns the base of a hub's URL. Equal URLs have the same one.
func NewBase(hubURL string) (*Base, error) {
	return bases.get(hubURL, func() (*Base, error) {
		b := &Base{url: strings.Clone(hubURL), seed: maphash.MakeSeed()}
		err := recovered(errURL, func() (err error) {
			b.parsed, err = parser.Parse(hubURL)
			return err
		})
		if err != nil || b.parsed.OpaquePath() {
			return nil, errURL
		}
		b.parsed.SearchParams() // otherwise made on first use
		b.path = normalPath(b.parsed.Pathname())
		return b, nil
	})
}

var errURL = errors.New("is not a URL with a path")

// Spell returns the topic's URL without what comes before the host and after the path, in a form in which each component ends where
// the next begins: https://example.com:/path. It returns "" for a topic that is no URL.
func (b *Base) Spell(topic string) string { return b.parse(topic).spelled }

// Reserved reports whether a topic addresses the hub's own path or a path below it, on any host and in any spelling.
func (b *Base) Reserved(topic string) bool {
	t := b.parse(topic)
	if !t.valid {
		return false
	}
	path := normalPath(t.parts[pathname])
	return path == b.path || strings.HasPrefix(path, strings.TrimSuffix(b.path, "/")+"/")
}

// parse returns a topic as a URL.
func (b *Base) parse(topic string) *topicURL {
	place := &b.recent[maphash.String(b.seed, topic)%uint64(len(b.recent))]
	if t := place.Load(); t != nil && t.topic == topic {
		return t
	}
	t := &topicURL{topic: strings.Clone(topic)}
	t.valid = recovered(errURL, func() error {
		u, err := parser.BasicParser(topic, b.parsed, nil, url.NoState)
		if err != nil {
			return err
		}
		t.parts = [components]string{
			protocol: u.Scheme(), username: u.Username(), password: u.Password(), hostname: u.Hostname(),
			port: u.Port(), pathname: u.Pathname(), search: u.Query(), hash: u.Fragment(),
		}
		t.spelled = spell(u.Scheme(), u.Hostname(), u.Port(), u.Pathname())
		return nil
	}) == nil
	place.Store(t)
	return t
}

// spell joins components as Spell does.
func spell(scheme, host, port, path string) string {
	return scheme + "://" + host + ":" + port + path
}

// normalPath returns a URL's path with what it encodes without need decoded, and without the dot segments that then appear.
func normalPath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c, ok := unreserved(path[i:]); ok {
			b.WriteByte(c)
			i += len("%41") - 1
		} else {
			b.WriteByte(path[i])
		}
	}
	decoded := b.String()
	if !strings.HasPrefix(decoded, "/") { // opaque
		return decoded
	}
	u, err := parser.Parse("https://hub.invalid" + decoded)
	if err != nil {
		return decoded
	}
	return u.Pathname()
}
