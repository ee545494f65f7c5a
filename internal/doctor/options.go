package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long an answer, a first byte or a probe may take by default.
	DefaultTimeout = 5 * time.Second
	// DefaultIdle is longer than two of the hub's default heartbeats.
	DefaultIdle = 35 * time.Second
	// minClient is the length of the shortest name that a hub takes for a page.
	minClient = 16
)

// Options say what to examine.
type Options struct {
	// URL is the stream's, as a page opens it.
	URL string
	// Hub is the URL of the same stream at the hub itself, without the proxies in front. If it has no path, the path of URL is added.
	// Optional.
	Hub string
	// Publish is the URL of the hub's internal route, with its prefix. Optional; without it no probes are sent.
	Publish string
	// Token is the internal route's. It is sent only to that route, and never appears in a report.
	Token string
	// Header is sent with each request for a stream: a cookie, say.
	Header http.Header
	// Origin is the origin of a page on another host, whose permissions are checked. Optional.
	Origin string
	// Topic gets the event that is missed on purpose; the stream must hear it. If it is empty, the stream's own user gets the event.
	Topic string
	// Timeout is how long an answer, a first byte or a probe may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// Idle is how long the streams are left idle; 0 skips that.
	Idle time.Duration
	// For is how long the streams are kept in all, to find limits of a whole answer; 0 is as long as they are idle.
	For time.Duration
	// Insecure accepts any certificate.
	Insecure bool
}

// Check returns an error if the options are not valid.
func (o Options) Check() error {
	for _, u := range []struct{ name, url string }{{"the URL", o.URL}, {"--origin-url", o.Hub}, {"--publish", o.Publish}} {
		if u.url == "" && u.name != "the URL" {
			continue
		}
		// Not the error of url.Parse: it contains the URL, which may contain a ticket.
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
	if o.Timeout < 0 || o.Idle < 0 || o.For < 0 {
		return errors.New("--timeout, --idle and --for must not be negative")
	}
	return nil
}

// withoutPage returns a URL without what a page says of itself in it: its name, as a stream of the same name would replace the page's,
// and the id that it goes on from.
func withoutPage(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	params := strings.Split(u.RawQuery, "&")
	others := slices.DeleteFunc(slices.Clone(params), func(param string) bool {
		name, value, _ := strings.Cut(param, "=")
		return name == "client" && len(value) >= minClient || strings.EqualFold(withoutMarks.Replace(name), "lasteventid")
	})
	if len(others) == len(params) {
		return text
	}
	u.RawQuery = strings.Join(others, "&")
	return u.String()
}

// withoutMarks makes the spellings of last_event_id the same.
var withoutMarks = strings.NewReplacer("_", "", "-", "")
