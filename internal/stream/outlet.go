package stream

// Outlet takes the bytes of a stream that has no connection of its own, such as one of several on an HTTP/2 connection. Only one
// goroutine at a time calls its methods, which must not wait. If it is a syscall.Conn as well, the stream limits how long the kernel
// waits for a client that does not answer.
type Outlet interface {
	// Write takes as many bytes as there is room for, and returns how many. If no room is left, it returns syscall.EAGAIN with that
	// number, and the outlet calls the handle's Room once there is room again. Any other error ends the stream.
	Write(b []byte) (int, error)
	// End is called once, when nothing more will be written, unless Left has ended the stream. The error is nil if the source has ended
	// and there was room for all that it had.
	End(reason error)
}
