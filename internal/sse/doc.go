// Package sse reads and writes the wire format of server-sent events (WHATWG HTML, section 9.2).
//
// [Event] writes one event, and [Reader] and [Parser] read a stream of them back. What an app may put into an event is in package rules. This
// package holds no connection and knows no HTTP.
package sse
