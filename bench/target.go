package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
)

// protocol is how clients reach a server.
type protocol string

const (
	h1    protocol = "h1"
	h1TLS protocol = "h1-TLS"
	h2    protocol = "h2"
)

// target is a server that runs.
type target struct {
	*process
	address string // of subscribers
	host    string
	control string // of publishers
	tls     *tls.Config
	pprof   string // where a CPU profile may be had, if it may

	// path is what a client asks for to hear a user's events and those for everybody.
	path func(user int) string
	// encode appends a request that publishes events, and says how many responses it gets.
	encode func(dst []byte, events []event) ([]byte, int)
	// batches says that one request can take many events to different users.
	batches bool
}

// errMissing says that a server is not installed.
var errMissing = errors.New("not installed")

// server is one that can be measured.
type server struct {
	key       string // in -servers
	name      string // in tables
	protocols []protocol
	start     func(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error)
}

var servers = []*server{
	{"floor", "floor", []protocol{h1}, startFloor},
	{"ssepush", "sse_push", []protocol{h1, h1TLS, h2}, startSSEPush},
	{"nchan", "nchan", []protocol{h1, h1TLS, h2}, startNchan},
}

// respond is only published to.
var respond = &server{"ssepush", "Caddy `respond`", []protocol{h1}, startRespond}

func serverNames() (names []string) {
	for _, s := range servers {
		names = append(names, s.key)
	}
	return names
}

// request is a client's.
func (t *target) request(user int, lastEventID string) []byte {
	var resume string
	if lastEventID != "" {
		resume = "Last-Event-ID: " + lastEventID + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", t.path(user), t.host, resume)
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
