package sitetest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// valve is a client's end of a connection that lets through only as much as the test allows.
type valve struct {
	net.Conn

	mu   sync.Mutex
	gate chan struct{} // closed while all may pass

	drops chan struct{} // each lets one byte pass
	once  sync.Once
	gone  chan struct{} // closed with the connection
}

func newValve() *valve {
	v := &valve{gate: make(chan struct{}), drops: make(chan struct{}, 1), gone: make(chan struct{})}
	close(v.gate)
	return v
}

// Freeze lets nothing more pass, apart from a read that has begun.
func (v *valve) Freeze() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gate = make(chan struct{})
}

// Thaw lets everything pass again.
func (v *valve) Thaw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.gate)
}

// Drip lets one byte pass.
func (v *valve) Drip() {
	select {
	case v.drops <- struct{}{}:
	default:
	}
}

func (v *valve) Read(b []byte) (int, error) {
	v.mu.Lock()
	gate := v.gate
	v.mu.Unlock()
	select {
	case <-gate:
	case <-v.gone:
		return 0, net.ErrClosed
	case <-v.drops:
		b = b[:min(len(b), 1)]
	}
	return v.Conn.Read(b)
}

func (v *valve) Close() error {
	v.once.Do(func() { close(v.gone) })
	return v.Conn.Close()
}

// Apart returns the site for one client with a connection of its own, through a valve. The caller closes the valve.
func (s *Site) Apart() (*Site, *valve) {
	v, used := newValve(), false
	like := s.HTTP.Transport.(*http.Transport)
	transport := &http.Transport{
		TLSClientConfig: like.TLSClientConfig.Clone(), ForceAttemptHTTP2: like.ForceAttemptHTTP2,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}, // what the client takes without reading
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if used {
				return nil, errors.New("one connection is all that a valve has")
			}
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			used = true
			v.Conn = conn
			return v, nil
		},
	}
	other := *s
	other.HTTP = &http.Client{Transport: transport}
	return &other, v
}
