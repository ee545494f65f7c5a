package egress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// Origin is a place that requests may go to.
type Origin struct {
	// Scheme, host and port, such as `https://api.example.com` or `http://ollama:11434`.
	URL string `json:"url"`

	// Whether the host may have a private or loopback address. Default: false.
	Private bool `json:"private,omitempty"`

	// Headers that each request gets. A call cannot set or read them. Default: none.
	Headers []Header `json:"headers,omitempty"`
}

// Check reports what is wrong with the settings, except for texts whose placeholders are yet to be filled in.
func (o *Origin) Check() error {
	for _, text := range placeholder.Settled(o.URL) {
		u, err := ParseURL(text)
		switch {
		case err != nil:
			return fmt.Errorf("%q %w", Shown(text), err)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery:
			return fmt.Errorf("%q must be of the form scheme://host[:port], with nothing after it", text)
		}
	}
	for i, h := range o.Headers {
		value := h.Value
		if placeholder.AtLoad.MatchString(value) {
			value = ""
		} else if value == "" {
			return fmt.Errorf("header %s: must not be empty", h.Name)
		}
		if err := CheckHeader(h.Name, value); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if has(o.Headers[:i], h.Name) {
			return fmt.Errorf("header %s is given twice", h.Name)
		}
	}
	return nil
}

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	maxAnswerHeader  = 64 << 10 // bytes
	idleTimeout      = 90 * time.Second
	// A connection over HTTP/2 on which nothing has come for pingAfter is asked whether it lives, and given up pingTimeout later.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
)

// errRefused says that the origin's name leads to an address that no request may go to.
var errRefused = errors.New("the address is refused")

// newTransport returns a transport whose connections lead to allowed addresses only. It uses no proxy, and asks for no compression.
func newTransport(private bool, resolver *net.Resolver) *http.Transport {
	dialer := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: resolver,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err == nil {
				err = checkAddress(to.Addr(), private)
			}
			if err != nil {
				return fmt.Errorf("%w: %w", errRefused, err)
			}
			return nil
		},
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableCompression:     true,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}
