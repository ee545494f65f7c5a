package filebroker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

const childDir = "SSE_PUSH_TEST_FILEBROKER"

// Tests here that start processes do not run beside others: between fork and exec, the new process holds every lock that this one
// holds, and a log that is closed just then cannot be opened again.

// TestMain lets the test binary be the other process: the one that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(hubtest.Main(m))
}

// child appends as fast as it can until it is killed, and writes a line for what was acknowledged: its text and its
// position. A quarter has idempotency keys, and is sent twice.
func child(dir string) error {
	o := quiet(Options{Sync: []time.Duration{Always, time.Millisecond, Never}[rand.IntN(3)], segment: 16 << 10})
	b, err := Open(dir, o)
	if err != nil {
		return err
	}
	var out sync.Mutex
	life, errs := broker.NewEpoch(), make(chan error)
	for g := range 8 {
		go func() {
			for n := 0; ; n++ {
				text := fmt.Sprintf("%x-%d-%d-%s", life, g, n, strings.Repeat("x", rand.IntN(2000)))
				r := event([]byte(text))
				if n%4 == 0 {
					r.Key = fmt.Sprint(life, g, n)
				}
				first := b.Append(context.Background(), []broker.Record{r})[0]
				if first.Err != nil {
					errs <- first.Err
				}
				out.Lock()
				fmt.Println(text, first.Position)
				out.Unlock()
				if r.Key == "" {
					continue
				}
				if again := b.Append(context.Background(), []broker.Record{r})[0]; !again.Repeated || again.Position != first.Position {
					errs <- fmt.Errorf("the same key again: %+v, first %+v", again, first)
				}
			}
		}()
	}
	return <-errs
}

// runChild runs a child until it has had a number of events acknowledged, kills it, and returns them.
func runChild(t *testing.T, dir string, events int) map[broker.Position]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[broker.Position]string{}
	for lines := bufio.NewReader(stdout); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // and a part of a line counts for nothing
		}
		text, position, _ := strings.Cut(strings.TrimSpace(line), " ")
		p, ok := broker.ParsePosition(position)
		if !ok {
			t.Fatalf("the child says %q", line)
		}
		acked[p] = text
		if len(acked) == events {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); len(acked) < events {
		t.Fatalf("the child ended by itself: %v: %s", err, stderr.String())
	}
	return acked
}

// A process that is killed under load loses nothing that it acknowledged, and stores nothing twice. SSE_PUSH_SOAK
// repeats that for a time.
func TestKilled(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv("SSE_PUSH_SOAK"))
	if err != nil && os.Getenv("SSE_PUSH_SOAK") != "" {
		t.Fatal(err)
	}
	dir, begin, rounds, total := t.TempDir(), time.Now(), 0, 0
	o := quiet(Options{MaxAge: time.Hour, segment: 16 << 10})
	var last broker.Position
	for ; rounds < 8 || time.Since(begin) < soak; rounds++ {
		acked := runChild(t, dir, 1+rand.IntN(1000))
		total += len(acked)
		b, err := Open(dir, o) // and not opened, which would keep all of them
		if err != nil {
			t.Fatal(err)
		}
		if last.IsZero() {
			last = b.start()
		}
		if s := standing(t, b, last); s != broker.Exact {
			t.Fatalf("round %d: the end of the life before stands %d", rounds, s)
		}
		texts := map[string]bool{}
		for at := last; ; {
			entries, err := b.Read(t.Context(), at, b.tip(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				at = e.Position
				text := string(e.Record.Data)
				if e.Record.Kind == broker.Hole || texts[text] {
					t.Fatalf("round %d: a hole, or stored twice: %q at %s", rounds, text, at)
				}
				if want, ok := acked[at]; ok && want != text {
					t.Fatalf("round %d: %s holds %q, acknowledged was %q", rounds, at, text, want)
				}
				texts[text] = true
				delete(acked, at)
			}
			last = at
		}
		for p, text := range acked {
			t.Fatalf("round %d: %q was acknowledged at %s and is lost, with %d more", rounds, text, p, len(acked)-1)
		}
		// What comes next must not take a position that was told.
		if p := put(t, b, "between"); p.Epoch == last.Epoch || p.Minor != last.Minor+1 {
			t.Fatalf("round %d: %s comes behind %s", rounds, p, last)
		} else {
			last = p
		}
		if rounds%2 > 0 {
			crash(t, b)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d events acknowledged", rounds, total)
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	b := opened(t, dir, quiet(Options{}))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "another process") {
		t.Errorf("got %v: %s", err, out)
	}
	put(t, b, "the first one goes on")
}

// A config that opens a log while the old config still drains it shares the log.
func TestSameProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, young := opened(t, dir, quiet(Options{})), opened(t, dir+"/.", quiet(Options{}))
	f := follow(t, young, 0)
	put(t, old, "a")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if r := old.Append(t.Context(), []broker.Record{event(nil)}); r[0].Err != broker.ErrClosed {
		t.Errorf("got %v after Close", r[0].Err)
	}
	f.await(t, put(t, young, "b").Minor)
	if got := strings.Join(f.texts, " "); got != "a b" {
		t.Errorf("got %s", got)
	}
}
