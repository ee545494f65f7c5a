package transport_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// What is written while Drain waits, and left in the queue by it, arrives all the same, and the watcher learns that the queue is empty.
func TestDrainLeavesNothingBehind(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	w := newWatcher()
	conn.Watch(w)
	n := queue(t, conn, client)
	drained := make(chan error, 1)
	go func() { drained <- conn.Drain(100) }()
	// Whatever the client sends uses up the event that was to report room.
	brokertest.Eventually(t, "Drain waits", func() bool {
		if err := conn.AwaitRead(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		wait(t, "something to read", w.readable)
		_, err := conn.TryRead(make([]byte, 1))
		return err == nil && conn.Draining()
	})
	if _, err := conn.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	client.SetReadDeadline(time.Now().Add(limit))
	got := make([]byte, n+len("the end"))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.HasSuffix(got, []byte("xthe end")) {
		t.Errorf("got %v", err)
	}
	if err := wait(t, "Drain", drained); err != nil {
		t.Error(err)
	}
	wait(t, "the queue to be empty", w.writable)
}

// A connection may have to end while Drain waits. It does so when all was sent.
func TestFinishDuringDrain(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	n := queue(t, conn, client)
	drained := make(chan error, 1)
	go func() { drained <- conn.Drain(0) }()
	brokertest.Eventually(t, "Drain waits", conn.Draining)
	conn.Finish(limit)
	client.SetReadDeadline(time.Now().Add(limit / 2))
	if got, err := io.Copy(io.Discard, client); got != int64(n) || err != nil {
		t.Errorf("%d bytes of %d, %v", got, n, err)
	}
	if _, err := client.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
	wait(t, "Drain", drained)
}

// A connection may have to end while something else writes to it. It does so when that was sent as well.
func TestFinishBesideAWriter(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	conn.Gather() // as a large Write does
	if _, err := conn.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	conn.Finish(limit)
	if err := conn.Flush(); err != nil {
		t.Error(err)
	}
	client.SetReadDeadline(time.Now().Add(limit / 2))
	if got, err := io.ReadAll(client); string(got) != "the end" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := client.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}
