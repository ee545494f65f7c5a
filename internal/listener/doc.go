// Package listener gives the connections of a listener with TLS a transport whose writes do not wait, and those of HTTP/2 a Conn of package
// http2, which holds streams without a goroutine.
package listener
