package doctor

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

// maxRaw is how much of an answer is read to recognise it.
const maxRaw = 8 << 10

// longQueries are the lengths of the queries that one server takes and another refuses.
var longQueries = []int{9 << 10, 70 << 10}

// sight finds out which fronts there are. It sends requests that the first server on the way refuses itself, sends longer and longer
// URLs, which another server may refuse, and reads the headers of an answer.
func (e *examination) sight(ctx context.Context) []string {
	u, path, host := e.target()
	if u == nil {
		return nil
	}
	requests := []string{"GET " + path + " HTTP/one\r\nHost: " + host + "\r\n\r\n", "OPTIONS " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"}
	for _, length := range longQueries {
		requests = append(requests, "GET "+path+"?"+strings.Repeat("x", length)+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	}
	answers := make([]front.Answer, len(requests))
	var all sync.WaitGroup
	for i, request := range requests {
		all.Go(func() { answers[i], _ = e.raw(ctx, u, request) })
	}
	all.Wait()
	return front.Standing(answers)
}

// target returns the URL, its path, and the host that requests name.
func (e *examination) target() (u *url.URL, path, host string) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, "", ""
	}
	if path = u.EscapedPath(); path == "" {
		path = "/"
	}
	if host = e.Header.Get("Host"); host == "" {
		host = u.Host
	}
	return u, path, host
}

// roundTrip returns the shortest time that an ordinary answer takes, or 0 if none comes.
func (e *examination) roundTrip(ctx context.Context) (least time.Duration) {
	u, path, host := e.target()
	for range 5 {
		_, took := e.raw(ctx, u, "OPTIONS "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if took > 0 && (least == 0 || took < least) {
			least = took
		}
	}
	return least
}

// raw sends bytes to the server of a URL, and returns the beginning of the answer, and how long it took once there was a connection.
func (e *examination) raw(ctx context.Context, u *url.URL, request string) (answer front.Answer, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = u.Scheme // a name that Dial knows
	}
	address := net.JoinHostPort(u.Hostname(), port)
	var conn net.Conn
	var err error
	if u.Scheme == "https" {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: e.Insecure, NextProtos: []string{"http/1.1"}}} // as --insecure asks
		conn, err = d.DialContext(ctx, "tcp", address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return "", 0
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	asked := time.Now()
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = io.WriteString(conn, request) }) // a server may answer without having read it all
	defer writing.Wait()
	defer conn.Close()
	first := make([]byte, maxRaw)
	n, _ := conn.Read(first)
	if n == 0 {
		return "", 0
	}
	took = time.Since(asked)
	_ = conn.SetReadDeadline(time.Now().Add(e.Timeout / 10)) // some servers leave the connection open
	rest, _ := io.ReadAll(io.LimitReader(conn, maxRaw))
	return front.Answer(first[:n]) + front.Answer(rest), took
}
