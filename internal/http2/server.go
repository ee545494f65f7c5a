package http2

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Server has the connections of a listener.
type Server struct {
	accept func(net.Conn) bool
	pause  time.Duration // shortPause

	mu    sync.Mutex // guards what follows
	conns map[*Conn]struct{}
	shut  bool
}

// NewServer returns a Server that gives accept each connection for the server below, and several for one client one after the other.
// accept returns false if that server takes none any more. It may wait.
func NewServer(accept func(net.Conn) bool) *Server {
	return &Server{accept: accept, pause: shortPause, conns: make(map[*Conn]struct{})}
}

// Serve serves a client's connection that has not sent anything yet. It returns when accept does.
func (s *Server) Serve(t Transport) {
	c, in := newConn(s, t)
	s.mu.Lock()
	c.last = s.shut // the server below serves a request, and closes the connection then
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if secure, ok := t.(interface{ ConnectionState() tls.ConnectionState }); ok && !permitted(secure.ConnectionState()) {
		c.mu.Lock()
		c.state.fail(http2.ErrCodeInadequateSecurity)
		c.mu.Unlock()
		c.settle()
		return
	}
	if !s.accept(in.netConn()) {
		c.lose(net.ErrClosed)
	}
}

// Shutdown tells all clients to open no more streams. Held streams go on until they end; each connection is closed after its last one.
func (s *Server) Shutdown() {
	s.mu.Lock()
	s.shut = true
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.shutdown()
	}
}

// forget removes a connection that is closed.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}
