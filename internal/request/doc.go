// Package request reads from a request what the routes need to know: path, peer, host, origin, cookies, parameters. For a stream, it
// also lifts the timeouts that the server sets for a request.
package request
