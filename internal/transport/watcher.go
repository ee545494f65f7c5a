package transport

// Watcher is told what the epoll reports of a connection. Its methods must not wait: while they do, all other connections wait.
type Watcher interface {
	// Readable is called once after each AwaitRead, when TryRead may have something, or an error.
	Readable()
	// Writable is called when the last queued byte was sent.
	Writable()
	// Gone is called when the client cannot be written to, or after AwaitHangup when the client has left.
	Gone(error)
}
