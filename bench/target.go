package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// protocol is how clients reach a server.
type protocol string

const (
	h1    protocol = "h1"
	h1TLS protocol = "h1-TLS"
	h2    protocol = "h2"
	h2Go  protocol = "h2-Go"
	h3    protocol = "h3"
)

func protocolNames() (names []string) {
	for _, p := range allProtocols {
		names = append(names, string(p))
	}
	return names
}

// alpn returns the protocol's name in a TLS handshake.
func (p protocol) alpn() string {
	switch p {
	case h2, h2Go:
		return "h2"
	case h3:
		return "h3"
	}
	return "http/1.1"
}

// target is a server that runs.
type target struct {
	*process
	protocol protocol
	address  string // of subscribers
	host     string
	control  string // of publishers
	tls      *tls.Config
	config   string // the file with its configuration
	admin    string // the URL of Caddy's admin endpoint, or empty
	pprof    string // the URL of its profiles, or empty

	// path returns what a client asks for to hear a user's events and those for everybody. It is nil if there are no streams.
	path func(user int) string
	// encode appends a request that publishes events, and says how many responses it gets.
	encode func(dst []byte, events []event) ([]byte, int)
	// batches says that one request can take many events to different users.
	batches bool
	// addresses says that every client comes from an address of its own.
	addresses bool
}

// errMissing says that a server is not installed.
var errMissing = errors.New("not installed")

// server is one that can be measured.
type server struct {
	key       string // in -servers
	name      string // in tables
	variant   string // of its configuration
	protocols []protocol
	judged    bool // whether there are goals for it
	start     func(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error)
	wrapped   func(b *bench, p protocol) bool // whether the configuration has the listener wrapper; may be nil
}

var allProtocols = []protocol{h1, h1TLS, h2, h2Go, h3}

var servers = []*server{
	{key: "floor", name: "floor", protocols: []protocol{h1}, start: startFloor},
	newCaddy("before", caddy{before: true, streams: true}),
	newCaddy("sse_push", caddy{streams: true}),
	{key: "nchan", name: "nchan", protocols: []protocol{h1, h1TLS, h2, h2Go}, start: startNchan},
}

// peers are measured beside them where it says most.
var peers = []*server{mercureCore, centrifugoCore}

func serverNames() (names []string) {
	for _, s := range slices.Concat(servers, peers) {
		names = append(names, s.key)
	}
	return names
}

// request is a client's, in HTTP/1.1.
func (t *target) request(user int, lastEventID string) []byte {
	var resume string
	if lastEventID != "" {
		resume = "Last-Event-ID: " + lastEventID + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", t.path(user), t.host, resume)
}

// source returns the loopback address that a client connects from.
func (t *target) source(client int) [4]byte {
	if t.addresses {
		return [4]byte{127, 1 + byte(client>>16), byte(client >> 8), byte(client)}
	}
	return [4]byte{127, 0, 0, byte(1 + client/perSource)}
}

// appendPost appends an HTTP request that carries a body.
func appendPost(dst []byte, host, path, kind string, body []byte) []byte {
	dst = append(dst, "POST "...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nContent-Type: "...)
	dst = append(dst, kind...)
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

func userName(user int) string { return "u" + strconv.Itoa(user) }
