package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// exchange is an ordinary request and the size of the expected response.
type exchange struct {
	method, path string
	body         []byte
	size         int // of the response's body
}

// caller makes ordinary requests over one connection, one at a time, as a browser does.
type caller interface {
	do(e *exchange) error
	// hold opens an event stream beside the requests.
	hold(user int) error
}

// browserFields are what Chrome says about itself with each request.
var browserFields = [][2]string{
	{"sec-ch-ua-platform", `"Linux"`},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	{"sec-ch-ua", `"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"`},
	{"sec-ch-ua-mobile", "?0"},
	{"accept", "*/*"},
	{"sec-fetch-site", "same-origin"},
	{"sec-fetch-mode", "cors"},
	{"sec-fetch-dest", "empty"},
	{"referer", "https://localhost/dashboard"},
	{"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-GB,en;q=0.9"},
}

// cookies are what an application, its consent banner and its analytics set: 1 KB in all.
var cookies = []string{
	"session=" + strings.Repeat("Qk3x9", 128),
	"csrf=" + strings.Repeat("7f", 32),
	"consent=" + strings.Repeat("a1", 80),
	"_ga=GA1.1.1234567890.1234567890",
	"_ga_ABCDEFGHIJ=GS2.1.s1234567890$o12$g1$t1234567890$j60$l0$h0",
	"theme=dark",
}

// caller connects a browser, until the context ends.
func (t *target) caller(ctx context.Context, number int) (caller, error) {
	conn, err := t.dial(ctx, number, nil, 0)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	if t.protocol.alpn() != "h2" {
		return &h1Caller{target: t, conn: conn, answers: newResponses(conn)}, nil
	}
	c := newH2Conn(conn, t.protocol.windows())
	go c.serve()
	return &h2Caller{t, c}, nil
}

// h1Caller speaks HTTP/1.1.
type h1Caller struct {
	target  *target
	conn    *tls.Conn
	answers *responses
	out     []byte
}

func (c *h1Caller) do(e *exchange) error {
	c.out = fmt.Appendf(c.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n", e.method, e.path, c.target.host, strings.Join(cookies, "; "))
	for _, f := range browserFields {
		c.out = fmt.Appendf(c.out, "%s: %s\r\n", f[0], f[1])
	}
	if e.body != nil {
		c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n", len(e.body))
	}
	c.out = append(append(c.out, "\r\n"...), e.body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	status, body, err := c.answers.next()
	if err == nil && (status != 200 || len(body) != e.size) {
		err = fmt.Errorf("%s %s: status %d with %d bytes, want %d", e.method, e.path, status, len(body), e.size)
	}
	return err
}

// hold does nothing: over HTTP/1.1, a stream takes a connection of its own.
func (c *h1Caller) hold(int) error { return nil }

// h2Caller speaks HTTP/2.
type h2Caller struct {
	target *target
	conn   *h2Conn
}

func (c *h2Caller) do(e *exchange) error {
	a := &answer{done: make(chan error, 1)}
	if err := c.conn.open(a, c.fields(e.method, e.path), e.body); err != nil {
		return err
	}
	err := <-a.done
	if err == io.EOF && a.size == e.size {
		return nil
	}
	return fmt.Errorf("%s %s: %d bytes, want %d: %w", e.method, e.path, a.size, e.size, err)
}

func (c *h2Caller) hold(user int) error {
	a := &answer{stream: true, done: make(chan error, 2)}
	if err := c.conn.open(a, c.fields("GET", c.target.path(user)), nil); err != nil {
		return err
	}
	return <-a.done
}

func (c *h2Caller) fields(method, path string) []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":authority", Value: c.target.host}, {Name: ":scheme", Value: "https"},
		{Name: ":path", Value: path},
	}
	for _, f := range browserFields {
		fields = append(fields, hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for _, cookie := range cookies { // browsers send each as a field of its own (RFC 9113, section 8.2.3)
		fields = append(fields, hpack.HeaderField{Name: "cookie", Value: cookie})
	}
	return fields
}

// answer is an h2Stream that counts the bytes of a response. An event stream is done at its head, others at their end.
type answer struct {
	stream bool
	size   int
	done   chan error
}

func (a *answer) head() {
	if a.stream {
		a.done <- nil
	}
}

func (a *answer) data(b []byte) error {
	a.size += len(b)
	return nil
}

func (a *answer) end(err error) { a.done <- err }
