// Package listener gives the connections of a listener with TLS a transport whose writes do not wait.
package listener
