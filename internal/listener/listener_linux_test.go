package listener_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/listener"
)

const limit = 30 * time.Second // how long a test waits for anything

// server is a server on a wrapped listener.
type server struct {
	*http.Server
	addr string
	log  *lines
	done chan error
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

// serve serves ln, to which it adds TLS, with answers that name the client's address.
func serve(t *testing.T, ln net.Listener, c listener.Config) *server {
	t.Helper()
	some := httptest.NewUnstartedServer(nil) // has a certificate
	some.StartTLS()
	some.Close()
	c.TLS = &tls.Config{Certificates: some.TLS.Certificates, NextProtos: []string{"http/1.1"}}
	s := &server{addr: ln.Addr().String(), log: new(lines), done: make(chan error, 1)}
	s.Server = &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr, r.TLS != nil) }),
		ErrorLog: log.New(s.log, "", 0),
	}
	wrapped := listener.Wrap(tls.NewListener(ln, c.TLS), c)
	go func() { s.done <- s.Serve(wrapped) }()
	t.Cleanup(func() { s.Close(); <-s.done })
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a request, and returns the body of the answer.
func ask(conn net.Conn) (string, error) {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

var insecure = &tls.Config{InsecureSkipVerify: true}

// A client that does not shake hands keeps no other from being served.
func TestSlowHandshake(t *testing.T) {
	s := serve(t, listen(t), listener.Config{Timeout: limit, Linger: time.Second})
	for range 20 {
		dial(t, s.addr)
	}
	conn := tls.Client(dial(t, s.addr), insecure)
	for range 2 {
		if got, err := ask(conn); err != nil || got != conn.LocalAddr().String()+"true" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// Failed handshakes look to clients and in the log as they do without the wrapper.
func TestFailedHandshake(t *testing.T) {
	s := serve(t, listen(t), listener.Config{Timeout: 100 * time.Millisecond, Linger: time.Second})
	plain := dial(t, s.addr)
	if got, err := ask(plain); err != nil || got != "Client sent an HTTP request to an HTTPS server.\n" {
		t.Errorf("got %q, %v", got, err)
	}
	silent := dial(t, s.addr)
	if n, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	for _, conn := range []net.Conn{plain, silent} {
		brokertest.Eventually(t, "it is logged", func() bool { return s.log.has("TLS handshake error from " + conn.LocalAddr().String()) })
	}
}

// A handshake that is under way when the server shuts down can be completed, and then the server gets the connection, but not for longer
// than the listener lingers.
func TestShutdownInMidHandshake(t *testing.T) {
	for round := range 6 {
		completes := round > 0
		c := listener.Config{Timeout: limit, Linger: limit}
		if !completes {
			c.Linger = 300 * time.Millisecond
		}
		s := serve(t, listen(t), c)
		half := &halting{Conn: dial(t, s.addr), goOn: make(chan struct{})}
		client := tls.Client(half, insecure)
		shaken := make(chan error, 1)
		go func() { shaken <- client.Handshake() }()
		<-half.goOn // the server's part has come
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		brokertest.Eventually(t, "no more connections come in", func() bool {
			conn, err := net.Dial("tcp", s.addr)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		if completes {
			half.goOn <- struct{}{}
			if err := <-shaken; err != nil {
				t.Error(err)
			}
			client.SetDeadline(time.Now().Add(limit / 2)) // before the listener gives it up
			if _, err := ask(client); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the server has not got the connection")
			}
			client.Close()
		}
		select {
		case err := <-down:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(limit):
			t.Fatal("the server does not shut down")
		}
		if err := <-s.done; err != http.ErrServerClosed {
			t.Errorf("got %v", err)
		}
		s.done <- nil
	}
}

// halting is a client's connection that waits before its second write.
type halting struct {
	net.Conn
	writes int
	goOn   chan struct{}
}

func (h *halting) Write(b []byte) (int, error) {
	if h.writes++; h.writes == 2 {
		h.goOn <- struct{}{}
		<-h.goOn
	}
	return h.Conn.Write(b)
}

// failing is a listener that has no descriptors left for a while.
type failing struct {
	net.Listener
	mu    sync.Mutex
	times int
}

func (f *failing) Accept() (net.Conn, error) {
	f.mu.Lock()
	f.times--
	fails := f.times >= 0
	f.mu.Unlock()
	if fails {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

// The server hears of errors, and waits a little after each.
func TestAcceptErrors(t *testing.T) {
	s := serve(t, &failing{Listener: listen(t), times: 3}, listener.Config{})
	if _, err := ask(tls.Client(dial(t, s.addr), insecure)); err != nil {
		t.Error(err)
	}
	if !s.log.has("retrying in 20ms") {
		t.Errorf("got %q", s.log.text.String())
	}
}

// piped is a listener whose connections have no descriptor.
type piped struct{ conns chan net.Conn }

func (p piped) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p piped) Close() error   { close(p.conns); return nil }
func (p piped) Addr() net.Addr { return &net.TCPAddr{} }

// Connections that are not TCP are handed on, and those without TLS.
func TestOthersPassThrough(t *testing.T) {
	p := piped{make(chan net.Conn)}
	s := serve(t, p, listener.Config{})
	server, client := net.Pipe()
	p.conns <- server
	if got, err := ask(tls.Client(client, insecure)); err != nil || got != "pipetrue" {
		t.Errorf("got %q, %v", got, err)
	}
	client.Close()
	s.Close()

	plain := listener.Wrap(listen(t), listener.Config{})
	defer plain.Close()
	dial(t, plain.Addr().String())
	conn, err := plain.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T", conn)
	}
	plain.Close()
	if _, err := plain.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
