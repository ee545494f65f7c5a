// Package access says what a token allows: how it must be signed, how it is read, in both versions of the Mercure protocol, and what it
// then grants.
//
// Nothing is shared between the versions: a token says by its type of which it is, is checked with the keys of that version alone,
// and is read by the rules of that version alone.
package access

// Version is a version of the protocol.
type Version uint8

const (
	V0 Version = iota // 0.x, as hubs up to 0.24 speak it
	V1                // 1.0
)

// Use is what a token is used for.
type Use uint8

const (
	ToPublish Use = iota
	ToSubscribe
)
