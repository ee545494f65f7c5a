// Package source holds shared sources: event streams of the site that the proxy itself opens, once for all clients that may
// share them. It reads each into a log and gives it to everyone who listens, so that an open tab costs the app nothing.
//
// A [Route] takes the requests that ask for a stream. Those with the same key (key.go) belong to one source of the hub's
// [Registry]. The first one starts it: the source opens the stream with a request of its own through the site's next handlers
// (request.go, open.go), and their answer (answer.go) becomes events of a topic of the hub's companion. All others join it. They
// are then connections like any other: what they miss, how slow they are, and when they end, is the hub's business. A newcomer
// hears what the source replays (replay.go).
//
// A source has one goroutine. It opens the stream again when it ends, as an EventSource would, for as long as somebody listens.
// What depends on time is looked after by the registry, for all of its sources (care.go).
//
// Locks: Registry.mu or the lock of a feed, then source.mu, then those of the hub.
package source
