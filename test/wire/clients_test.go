package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	gosse "github.com/tmaxmax/go-sse"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// patience bounds a client that hangs; no test waits for it to pass.
const patience = 30 * time.Second

// client reads the stream at url until the event "end", which is the last in what it returns. It reconnects as the stream
// tells it to.
type client func(t *testing.T, url string, types []string) []sse.Message

// goSSE is github.com/tmaxmax/go-sse.
func goSSE(t *testing.T, url string, _ []string) []sse.Message {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	var got []sse.Message
	ended := false
	conn := gosse.NewConnection(req)
	conn.Buffer(nil, 4<<20)
	conn.SubscribeToAll(func(e gosse.Event) {
		if e.Type == "" {
			e.Type = "message" // it leaves the default to its user
		}
		got = append(got, sse.Message{ID: e.LastEventID, Type: e.Type, Data: e.Data})
		if e.Type == "end" {
			ended = true
			stop()
		}
	})
	if err := conn.Connect(); !ended || !errors.Is(err, context.Canceled) {
		t.Fatalf("go-sse stopped after %d events: %v", len(got), err)
	}
	return got
}

// eventSource is the npm package of that name, run by Node.
func eventSource(t *testing.T, url string, types []string) []sse.Message {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is missing; `make test` installs what the tests need: %v", err)
	}
	if _, err := os.Stat("../node_modules/eventsource/package.json"); err != nil {
		t.Fatalf("test/node_modules is missing; `make test` installs it: %v", err)
	}
	arg, err := json.Marshal(map[string]any{"url": url, "types": types})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, node, "eventsource.mjs", string(arg))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, &stderr)
	}
	var got []sse.Message
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("output of node: %v\n%s", err, out)
	}
	return got
}

// ownReader is the Reader that the other tests rely on. It does not reconnect.
func ownReader(t *testing.T, url string, _ []string) []sse.Message {
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got []sse.Message
	r := sse.NewReader(res.Body, 0)
	for {
		m, err := r.Next()
		if err != nil {
			t.Fatalf("Reader stopped after %d events: %v", len(got), err)
		}
		got = append(got, m)
		if m.Type == "end" {
			return got
		}
	}
}
