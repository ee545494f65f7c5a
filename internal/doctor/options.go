package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	// DefaultTimeout is how long an answer, a first byte or a probe may take.
	DefaultTimeout = 5 * time.Second
	// DefaultIdle is past two of the hub's heartbeats, as they are unless set otherwise.
	DefaultIdle = 35 * time.Second
)

// Options say what to examine.
type Options struct {
	// URL is that of the stream, as a page opens it.
	URL string
	// Hub is the URL of the same stream at the hub itself, past all that stands in front. Without a path it is that of URL. Optional.
	Hub string
	// Publish is the URL of the hub's internal route, with its prefix. Optional: without it nothing is sent.
	Publish string
	// Token is the internal route's. It is sent to no one else, and no report holds it.
	Token string
	// Header goes with each stream's request: a cookie, say.
	Header http.Header
	// Origin is that of a page on another host, whose permissions are examined. Optional.
	Origin string
	// Topic takes the probe that is missed on purpose; the stream has to hear it. Without one, the stream's own user does.
	Topic string
	// Timeout is how long an answer, a first byte or a probe may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// Idle is how long the streams are left alone; 0 leaves that out.
	Idle time.Duration
	// Insecure takes any certificate.
	Insecure bool
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	for _, u := range []struct{ name, url string }{{"the URL", o.URL}, {"--origin-url", o.Hub}, {"--publish", o.Publish}} {
		if u.url == "" && u.name != "the URL" {
			continue
		}
		// The error of url.Parse holds the URL, which may hold a ticket.
		if parsed, err := url.Parse(u.url); err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
			return fmt.Errorf("%s must be an absolute URL of http or https", u.name)
		}
	}
	if o.Origin != "" {
		u, err := url.Parse(o.Origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return errors.New("--origin must be a page's origin, such as https://app.example.com, without a path")
		}
	}
	if o.Timeout < 0 || o.Idle < 0 {
		return errors.New("--timeout and --idle must not be negative")
	}
	return nil
}
