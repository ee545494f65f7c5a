package transport_test

import (
	"errors"
	"reflect"
	"syscall"
	"testing"
)

// What crypto/tls keeps of what it has read is given back while a connection waits.
func TestBuffersAreGivenBack(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	kept := func(buffer string) int {
		b := reflect.ValueOf(conn.TLS()).Elem().FieldByName(buffer)
		if !b.IsValid() {
			t.Fatalf("crypto/tls has no buffer %s any more: see readBuffers", buffer)
		}
		return b.FieldByName("buf").Cap()
	}
	if kept("hand") == 0 {
		t.Error("the handshake has left nothing: is the buffer still in use?")
	}
	w := newWatcher()
	conn.Watch(w)
	for _, await := range []func() error{conn.AwaitRead, conn.AwaitHangup} {
		if _, err := client.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 10_000; {
			m, err := conn.Read(make([]byte, 3000))
			if n += m; err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.TryRead(make([]byte, 1)); !errors.Is(err, syscall.EAGAIN) {
			t.Fatalf("got %v of nothing", err)
		}
		if kept("rawInput") == 0 {
			t.Error("the record has left nothing: is the buffer still in use?")
		}
		if err := await(); err != nil {
			t.Fatal(err)
		}
		for _, buffer := range []string{"rawInput", "hand"} {
			if n := kept(buffer); n > 0 {
				t.Errorf("%s keeps %d bytes", buffer, n)
			}
		}
	}
}
