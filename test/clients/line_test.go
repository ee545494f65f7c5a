package clients_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// line is what lies between a client and the hub. It can be cut.
type line struct {
	t       testing.TB
	hub     hub
	address string

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    []net.Conn // of clients, and to the hub
	requests int        // for the hub's stream
}

// newLine returns a line to a hub.
func newLine(t testing.TB, h hub) *line {
	l := &line{t: t, hub: h}
	for { // programs that do not ask for their ports may take one meanwhile
		l.address = "127.0.0.1:" + harness.Port(t) // which no other test takes while the line is severed
		if err := l.listen(); err == nil {
			break
		}
	}
	t.Cleanup(l.sever)
	return l
}

// mend takes connections, on the same port as before.
func (l *line) mend() {
	l.t.Helper()
	if err := l.listen(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) listen() error {
	listener, err := net.Listen("tcp4", l.address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener = listener
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.carry(c)
		}
	}()
	return nil
}

func (l *line) carry(c net.Conn) {
	up, err := net.Dial("tcp4", l.hub.address)
	if err != nil {
		c.Close()
		return
	}
	l.mu.Lock()
	l.conns = append(l.conns, c, up)
	l.mu.Unlock()
	go pass(c, up)
	go pass(up, io.TeeReader(c, l))
}

// pass carries what comes from one end to the other.
func pass(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}

// Write counts the requests for the stream that a client sends. A head comes in one piece.
func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.HasPrefix(b, []byte("GET "+l.hub.path+"?")) {
		l.requests++
	}
	return len(b), nil
}

// cut resets all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	l.conns = nil
}

// sever resets all connections, and refuses others.
func (l *line) sever() {
	l.mu.Lock()
	_ = l.listener.Close()
	l.mu.Unlock()
	l.cut()
}

// asked returns how many requests have come.
func (l *line) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}
