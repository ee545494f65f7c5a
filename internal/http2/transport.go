package http2

import (
	"net"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// Transport is the client's connection. Its writes never wait.
type Transport interface {
	// Read waits for bytes until its deadline, and can be called again after that. TryRead returns syscall.EAGAIN instead of waiting.
	Read([]byte) (int, error)
	TryRead([]byte) (int, error)
	// Write sends or queues all of its bytes. Several goroutines may call it at once.
	Write([]byte) (int, error)
	// Queued returns how many bytes are queued, and Drain waits until it is no more than most.
	Queued() int
	Drain(most int) error
	// Watch sets what is told that the queue is empty, or that the connection is lost; and, once after each AwaitRead, that TryRead may
	// have something.
	Watch(transport.Watcher)
	AwaitRead() error
	// Finish closes the connection when all that is queued was sent, after this time at the latest. Close does so at once.
	Finish(time.Duration)
	Close() error
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}
