package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicConfig has the windows of Chrome, and keeps connections with open streams alive as Chrome does.
var quicConfig = &quic.Config{
	InitialStreamReceiveWindow: 6 << 20, MaxStreamReceiveWindow: 6 << 20,
	InitialConnectionReceiveWindow: 15 << 20, MaxConnectionReceiveWindow: 15 << 20,
	KeepAlivePeriod: 15 * time.Second,
}

// serveH3 connects a client of HTTP/3 with a socket of its own, and reads until its stream ends.
func (d *connDriver) serveH3(a *attempt) error {
	t := d.swarm.target
	source := t.source(a.user)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: source[:]})
	if err != nil {
		return err
	}
	defer socket.Close()
	var packets net.PacketConn = socket
	if slow := d.gateOf(a.client); slow != nil {
		packets = gatedPackets{socket, slow}
	}
	transport := &quic.Transport{Conn: packets}
	defer transport.Close()
	server, err := net.ResolveUDPAddr("udp4", t.address)
	if err != nil {
		return err
	}
	conn, err := transport.Dial(d.ctx, server, t.tls, quicConfig)
	if err != nil {
		return err
	}
	defer conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	defer context.AfterFunc(d.ctx, func() { socket.Close() })() // ends what waits, even if the server is gone
	stream, err := new(http3.Transport).NewClientConn(conn).OpenRequestStream(d.ctx)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(d.ctx, http.MethodGet, "https://"+t.host+t.path(a.user), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Accept-Encoding", "identity") // or the library would ask for gzip
	if d.swarm.lastEventID != "" {
		request.Header.Set("Last-Event-ID", d.swarm.lastEventID)
	}
	if err := errors.Join(stream.SendRequestHeader(request), stream.Close()); err != nil {
		return err
	}
	response, err := stream.ReadResponse()
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	a.head()
	buf := make([]byte, 8<<10)
	for {
		n, err := stream.Read(buf)
		if n > 0 {
			if err := a.take(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
