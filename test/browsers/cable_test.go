package browsers_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cable passes connections on, until they are cut.
type cable struct {
	listener net.Listener

	mu    sync.Mutex // guards conns
	conns []*net.TCPConn
}

func lay(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener}
	t.Cleanup(func() {
		listener.Close()
		c.cut(true)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.pass(conn.(*net.TCPConn), to)
		}
	}()
	return c
}

func (c *cable) port() string {
	_, port, _ := net.SplitHostPort(c.listener.Addr().String())
	return port
}

func (c *cable) pass(near *net.TCPConn, to string) {
	defer near.Close()
	conn, err := net.Dial("tcp4", to)
	if err != nil {
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	c.mu.Lock()
	c.conns = append(c.conns, near, far)
	c.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]*net.TCPConn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done // with one end gone, so is the other
}

// cut closes all connections, or resets them.
func (c *cable) cut(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		if reset {
			_ = conn.SetLinger(0)
		}
		_ = conn.Close()
	}
	c.conns = nil
}
