// Package sse reads and writes the wire format of server-sent events (WHATWG HTML, section 9.2).
//
// [Event] writes one event, [Reader] reads a stream of them back, and the Check functions say what an app may put
// into an event. The package holds no connection and knows no HTTP.
package sse
