package hub

// Route is what the caller of Subscribe attaches to a connection, to find it there again. The hub keeps it for as long as it
// remembers the connection, which is longer than the stream lasts.
type Route interface {
	// Bytes returns about how much memory the Route takes.
	Bytes() int
}
