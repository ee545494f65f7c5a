package stream

import (
	"net"
	"net/http"
)

// Splitter takes over streams of an HTTP/2 connection.
type Splitter interface {
	// Hold does for a stream what the function Hold does for an HTTP/1 connection.
	Hold(w http.ResponseWriter, r *http.Request, src Source, t *Timing) (bool, error)
}

// carrier returns what carries a connection, below its wrappers: they hide its methods, but not its remote address, which may have a
// method that leads there.
func carrier(conn net.Conn) any {
	if a, ok := conn.RemoteAddr().(interface{ Carrier() any }); ok {
		return a.Carrier()
	}
	return nil
}
