package transport_test

import (
	"bytes"
	"io"
	"sync"
	"testing"
)

// Several may write at once, in one record or in many. What each of them writes arrives whole.
func TestWritersAtOnce(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	sizes := []int{1, 100, 3000, 20_000}
	const rounds = 200
	total := 0
	var draining sync.Mutex
	for i, size := range sizes {
		total += rounds * size
		go func() {
			for range rounds {
				if _, err := conn.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Error(err)
					return
				}
				draining.Lock()
				err := conn.Drain(50_000)
				draining.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	got := make([]byte, total)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	for len(got) > 0 {
		size := sizes[got[0]-'a']
		if !bytes.Equal(got[:size], bytes.Repeat(got[:1], size)) {
			t.Fatalf("%d bytes of %q do not follow each other", size, got[0])
		}
		got = got[size:]
	}
}
