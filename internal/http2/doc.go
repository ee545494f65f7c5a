// Package http2 stands between an HTTP/2 connection and the server that serves it, and holds streams without a goroutine.
//
// A Conn passes each frame on, in both directions, to a server that does not know of it: the inner server, which sees one net.Conn. What
// a server has to check about requests stays with that one. A handler of it can have its stream held: the inner server then takes the
// stream for finished, the client does not, and what is written to it from then on is the Conn's own. When all streams that are open are
// held, the Conn lets the inner server go: it closes that net.Conn, which frees all of its buffers and goroutines. A new request makes
// a new one.
//
// Three things have two truths, as an inner server begins with a fresh connection while the client goes on with an old one. All are
// kept in a state, which does no input or output:
//   - Streams: the inner server knows those above state.base. Frames about older ones must not reach it.
//   - Windows: T is what the client lets us send, I what the inner server takes for that, and U what the client takes for what it may
//     send. I never exceeds T, so that no frame of the inner server ever has to wait. The rest of T is for the held streams. I
//     is raised bit by bit, as it cannot be lowered.
//   - HPACK: an inner server decodes with an empty table, so the client's has to be empty as well. It is told so (a table size of 0) with
//     the first held stream. The other direction needs nothing: the client's table holds all of a new encoder's, and more.
//
// RFC 9113 has the frames, RFC 7541 the tables.
package http2
