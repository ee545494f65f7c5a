package main

import (
	"net"
	"sync"
)

// gate blocks the reads of slow clients while it is shut. The zero value is open.
type gate struct {
	mu     sync.Mutex // guards opened
	opened chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// pass waits until the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
}

// gatedConn is a connection whose reads pass a gate.
type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Read(b []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Read(b)
}

// gatedPackets is the same for a UDP socket. It hides the socket's other methods, so that every packet is read by ReadFrom.
type gatedPackets struct {
	net.PacketConn
	gate *gate
}

func (c gatedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	c.gate.pass()
	return c.PacketConn.ReadFrom(b)
}
