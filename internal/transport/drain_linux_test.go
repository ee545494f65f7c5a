package transport_test

import (
	"io"
	"testing"
)

// What is queued while Drain sends arrives as well, even if Drain does not wait for it.
func TestWriteWhileDraining(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	const most = 50_000
	for range 20 {
		n := 0
		for conn.Queued() <= most {
			if _, err := conn.Write(make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
			n += 10_000
		}
		drained, written := make(chan error, 1), make(chan error, 1)
		go func() { drained <- conn.Drain(most) }()
		go func() {
			_, err := conn.Write([]byte("the end"))
			written <- err
		}()
		received := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(client, make([]byte, n+len("the end")))
			received <- err
		}()
		for what, done := range map[string]<-chan error{"the drain": drained, "the write": written, "all bytes": received} {
			if err := wait(t, what, done); err != nil {
				t.Fatal(err)
			}
		}
	}
}
