// Package transport has connections with TLS whose writes do not wait.
//
// A [crypto/tls.Conn] encrypts well, but it writes to a net.Conn, which waits until the socket has room: so a client that reads slowly costs a
// goroutine for each write to it. A Conn puts a socket of its own below crypto/tls. What the kernel does not take is queued, within a
// bound, and sent when an epoll reports room. The same epoll reports what a silent client sends, so that a connection with nothing to
// read needs no goroutine either. As long as a server does read, it waits as it would for any other connection.
package transport
