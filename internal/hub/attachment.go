package hub

// Attachment is what the caller of Subscribe attaches to a connection, to find it there again. The hub keeps it for as long as it
// remembers the connection, which is longer than the stream lasts.
type Attachment interface {
	// Bytes returns about how much memory the Attachment takes.
	Bytes() int
}
