package e2e_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// curl runs curl to its end, and returns what it prints.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.Program(t, "curl"), append([]string{"-sS", "--max-time", "30"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// curlStream runs curl -N, and hands on line for line what it prints.
func curlStream(t *testing.T, args ...string) (lines <-chan string) {
	t.Helper()
	cmd := exec.Command(harness.Program(t, "curl"), append([]string{"-sSN"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch := make(chan string, 1000)
	go func() {
		defer close(ch)
		for s := bufio.NewScanner(out); s.Scan(); {
			ch <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range ch { // so that it can end
		}
		_ = cmd.Wait()
	})
	return ch
}

// await reads lines up to the first with a prefix, and returns all of them.
func await(t *testing.T, lines <-chan string, prefix string) (block []string) {
	t.Helper()
	limit := time.After(harness.Patience)
	for {
		select {
		case line, ok := <-lines:
			block = append(block, line)
			if !ok {
				t.Fatalf("the stream ended before %q: %q", prefix, block)
			}
			if strings.HasPrefix(line, prefix) {
				return block
			}
		case <-limit:
			t.Fatalf("waited %v for %q; got %q", harness.Patience, prefix, block)
		}
	}
}

func example(t *testing.T) (url string) {
	t.Helper()
	url = "localhost:" + harness.Port(t)
	harness.StartCaddy(t, harness.File(t, "Caddyfile.example",
		"localhost:8080", url, "localhost:8081", "localhost:"+harness.Port(t), "127.0.0.1:9001", "127.0.0.1:"+harness.Port(t),
		"127.0.0.1:9003", "127.0.0.1:"+harness.Port(t), "127.0.0.1:9004", "127.0.0.1:"+harness.Port(t),
		"127.0.0.1:9005", "127.0.0.1:"+harness.Port(t), "127.0.0.1:9006", "127.0.0.1:"+harness.Port(t),
		"127.0.0.1:9100", "127.0.0.1:"+harness.Port(t)))
	return url
}

func TestCurl(t *testing.T) {
	t.Parallel()
	url := example(t)
	u1, u2 := curlStream(t, url+"/events?userId=u1"), curlStream(t, url+"/events?userId=u2")
	await(t, u1, "id: ")
	await(t, u2, "id: ")

	var answer struct{ ID string }
	said := curl(t, "-d", "user=u1", "-d", "event=hi", "-d", "data=hello", url+"/_sse/publish")
	if err := json.Unmarshal([]byte(said), &answer); err != nil || answer.ID == "" {
		t.Fatalf("publish printed %q", said)
	}
	got := strings.Join(append(await(t, u1, "event: hi"), await(t, u1, "id: ")...), "\n")
	for _, want := range []string{"\nevent: hi", "\ndata: hello", "\nid: " + answer.ID} {
		if !strings.Contains("\n"+got, want) {
			t.Errorf("u1 got %q, without %q", got, want)
		}
	}

	// What u2 hears next is what came later.
	curl(t, "-d", "user=u2", "-d", "event=later", url+"/_sse/publish")
	if got := await(t, u2, "event: later"); strings.Contains(strings.Join(got, "\n"), "hello") {
		t.Errorf("u2 got what was u1's: %q", got)
	}
}

// The bound is for a person who waits. A machine that is busy may miss it often, but not always.
func TestCurlConnectsAtOnce(t *testing.T) {
	const enough = 100 * time.Millisecond
	url := example(t)
	best := time.Hour
	for tries := 0; best > enough && tries < 100; tries++ {
		begin := time.Now()
		lines := curlStream(t, url+"/events?userId=u1")
		await(t, lines, "event: sse:connected")
		best = min(best, time.Since(begin))
	}
	if best > enough {
		t.Errorf("the best of 100 connects took %v, want at most %v", best, enough)
	}
}

func TestCurlWithoutTarget(t *testing.T) {
	t.Parallel()
	url := example(t)
	said := curl(t, "-i", "-d", "data=x", url+"/_sse/publish")
	head, body, _ := strings.Cut(said, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 400 ") || !strings.Contains(head, "application/problem+json") {
		t.Errorf("head of the answer: %q", head)
	}
	if !strings.Contains(body, "target") {
		t.Errorf("the answer does not say that a target is missing: %q", body)
	}
}
