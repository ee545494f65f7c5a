package transport

import "net"

// maxPiece is how many bytes a blocking connection encrypts at a time.
const maxPiece = 64 << 10

// Blocking returns the connection as a net.Conn for a server that expects writes to wait until the socket has taken all.
func (c *Conn) Blocking() net.Conn { return blocking{c} }

type blocking struct{ *Conn }

func (c blocking) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		if n, err = c.Conn.Write(b[:min(len(b), maxPiece)]); err == nil {
			err = c.Drain(0)
		}
		written, b = written+n, b[n:]
	}
	return written, err
}
