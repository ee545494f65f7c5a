package source

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// What `share` may be.
const (
	Session  = "session"
	Everyone = "everyone"
)

const (
	defaultReplay         = "last"
	defaultLinger         = 5 * time.Second
	defaultLingerEveryone = 30 * time.Second
	defaultFirstAnswer    = 30 * time.Second
	defaultMax            = 1000
	defaultPerClient      = 5
	defaultMaxAge         = time.Hour
	defaultEvent          = 1 << 20

	maxReplay      = 100
	maxLinger      = time.Hour
	maxFirstAnswer = 10 * time.Minute
	minMaxAge      = time.Second
	maxMaxAge      = 30 * 24 * time.Hour
	// maxEvent leaves room for several events in the log of the hub's sources.
	maxEvent = 16 << 20
)

// Settings let a route share streams of the site. The subscribe path is then one of the app's: if a client asks for it with GET
// and an Accept that names `text/event-stream`, the proxy opens it once and gives it to everyone who may share it.
type Settings struct {
	// Who shares one stream of the app. With `session`: requests with the same cookies, `Authorization` and proved user. With
	// `everyone`: all requests; the answer must be public, as the app gets no cookie, header or address of a client. Requests for
	// another host, path or query share nothing. Default: session.
	Share string `json:"share,omitempty" placeholders:"none"`

	// The cookies that count: requests that differ only in others share a stream. Default: all.
	Cookies []string `json:"cookies,omitempty"`

	// The query parameters that count: requests that differ only in others share a stream. Default: all.
	Query []string `json:"query,omitempty"`

	// What a client gets at once when it joins: `last`, the newest event of each event name; the newest events, as a number from 1 to
	// 100; or `off`. A client that resumes gets what it missed instead. Default: last.
	Replay string `json:"replay,omitempty" placeholders:"none"`

	// How long the app's stream stays open after the last client has left. Up to 1h. Default: 5s, with `everyone` 30s.
	Linger caddy.Duration `json:"linger,omitempty"`

	// How long the app may take to answer with headers. Up to 10m. Default: 30s.
	FirstAnswer caddy.Duration `json:"first_answer,omitempty"`

	// How many streams of the app may be open at once, on all routes of the hub. Default: 1000.
	Max int `json:"max,omitempty"`

	// How many of these streams the clients of one address (IPv6: of a /64) may have started; -1: no limit. Default: 5.
	PerClient int `json:"per_client,omitempty"`

	// How long a stream of the app lasts before it is closed and opened again. From 1s to 30 days. Default: 1h.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// How many bytes one event of the app may have; a stream with a larger one is closed and opened anew. Up to 16 MiB. Default: 1 MiB.
	Event int64 `json:"event,omitempty"`
}

// SetDefaults fills in what is not given. It does nothing if s is nil: the route shares no streams.
func (s *Settings) SetDefaults() {
	if s == nil {
		return
	}
	s.Share = cmp.Or(s.Share, Session)
	s.Replay = cmp.Or(s.Replay, defaultReplay)
	linger := defaultLinger
	if s.Share == Everyone {
		linger = defaultLingerEveryone
	}
	s.Linger = cmp.Or(s.Linger, caddy.Duration(linger))
	s.FirstAnswer = cmp.Or(s.FirstAnswer, caddy.Duration(defaultFirstAnswer))
	s.Max = cmp.Or(s.Max, defaultMax)
	s.PerClient = cmp.Or(s.PerClient, defaultPerClient)
	s.MaxAge = cmp.Or(s.MaxAge, caddy.Duration(defaultMaxAge))
	s.Event = cmp.Or(s.Event, int64(defaultEvent))
}

// Check reports what is wrong with the settings. It does not matter whether the defaults have been filled in.
func (s *Settings) Check() error {
	if err := CheckShare(s.Share); err != nil {
		return fmt.Errorf("share: %w", err)
	}
	if err := CheckReplay(s.Replay); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if s.Share == Everyone && len(s.Cookies) > 0 {
		return errors.New("cookies: have no effect with share everyone, which sends the app no cookie")
	}
	for _, name := range placeholder.Settled(s.Cookies...) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("cookies: %q is not the name of a cookie", name)
		}
	}
	if slices.Contains(placeholder.Settled(s.Query...), "") {
		return errors.New("query: a name must not be empty")
	}
	switch {
	case s.Linger < 0 || time.Duration(s.Linger) > maxLinger:
		return fmt.Errorf("linger: must be at most %s; is %s", maxLinger, time.Duration(s.Linger))
	case s.FirstAnswer < 0 || time.Duration(s.FirstAnswer) > maxFirstAnswer:
		return fmt.Errorf("first_answer: must be at most %s; is %s", maxFirstAnswer, time.Duration(s.FirstAnswer))
	case s.MaxAge != 0 && (time.Duration(s.MaxAge) < minMaxAge || time.Duration(s.MaxAge) > maxMaxAge):
		return fmt.Errorf("max_age: must be from %s to %s; is %s", minMaxAge, maxMaxAge, time.Duration(s.MaxAge))
	case s.Max < 0:
		return errors.New("max: must be at least 1")
	case s.PerClient < -1:
		return errors.New("per_client: must be at least 1, or -1 for no limit")
	case s.Event < 0 || s.Event > maxEvent:
		return fmt.Errorf("event: must be at most 16 MiB; is %d bytes", s.Event)
	}
	return nil
}

// CheckBeside reports what is wrong with the settings, alone and together with other options of the route.
func (s *Settings) CheckBeside(upstream, twoWay bool, topics []string) error {
	switch {
	case upstream:
		return errors.New("cannot be combined with upstream, with which the app decides about each stream")
	case twoWay:
		return errors.New("cannot be combined with two_way: what a page posts to the app's path reaches the app anyway")
	case len(topics) > 0:
		return errors.New("cannot be combined with topics: its streams carry only what the app sends")
	}
	return s.Check()
}

// CheckShare reports what is wrong with the text of `share`.
func CheckShare(text string) error {
	if text != "" && text != Session && text != Everyone {
		return fmt.Errorf("%q must be %s or %s", text, Session, Everyone)
	}
	return nil
}

// CheckReplay reports what is wrong with the text of `replay`.
func CheckReplay(text string) error {
	if text == "" || text == defaultReplay || text == "off" {
		return nil
	}
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > maxReplay {
		return fmt.Errorf("%q must be last, off, or a number of events from 1 to %d", text, maxReplay)
	}
	return nil
}
