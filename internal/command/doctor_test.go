package command

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// doctorSays runs the command, and returns what it printed and whether it failed.
func doctorSays(t *testing.T, ctx context.Context, args ...string) (stdout, stderr string, failed bool) {
	t.Helper()
	var out, err strings.Builder
	c := doctorCommand()
	c.SetOut(&out)
	c.SetErr(&err)
	c.SetArgs(args)
	failed = c.ExecuteContext(ctx) != nil
	return out.String(), err.String(), failed
}

func TestDoctorCommand(t *testing.T) {
	t.Setenv("SSE_PUSH_TOKEN", "of-the-environment")
	t.Setenv("COLUMNS", "1000")
	asked := make(chan http.Header, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		http.Error(w, "", http.StatusForbidden)
	}))
	defer server.Close()

	out, stderr, failed := doctorSays(t, t.Context(), server.URL+"/events?ticket=t0p", "-H", "Cookie: session=s1", "--quick")
	if !failed || stderr != "" || !strings.Contains(out, "FAULT no-directive") || !strings.Contains(out, "FAULT status") || !strings.Contains(out, "\nNot healthy\n") {
		t.Errorf("failed: %v, stderr %q, stdout:\n%s", failed, stderr, out)
	}
	if strings.Contains(out, "\x1b") || strings.Contains(out, "t0p") {
		t.Errorf("colours without a terminal, or a secret:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > plainWidth+1 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
	if h := <-asked; h.Get("Cookie") != "session=s1" || h.Get("Authorization") != "" {
		t.Errorf("asked with %v", h)
	}

	out, _, failed = doctorSays(t, t.Context(), server.URL, "--json", "--quick")
	var report struct {
		Healthy  bool
		Findings []struct {
			Code string
			Mend []struct{ In, Line string }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || !failed || report.Healthy || report.Findings[0].Code != "no-directive" || len(report.Findings[0].Mend) < 6 {
		t.Errorf("%v, failed: %v: %s", err, failed, out)
	}
}

// With --quick nothing waits, whatever else is given.
func TestDoctorCommandQuick(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: 1\n\n"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	out, stderr, _ := doctorSays(t, t.Context(), server.URL, "--quick", "--idle", "2h", "--for", "1h", "--json")
	var report struct{ Unchecked []string }
	skipped := func(what string) bool {
		return strings.HasPrefix(what, "whether a stream is cut when it is idle or long") && strings.HasSuffix(what, "skipped")
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || stderr != "" || !slices.ContainsFunc(report.Unchecked, skipped) {
		t.Errorf("%v, stderr %q: %s", err, stderr, out)
	}
}

func TestDoctorCommandWronglyUsed(t *testing.T) {
	for _, args := range [][]string{
		{}, {"a", "b"}, {"example.com"}, {"http://localhost", "--header", "Cookie=s3cret"}, {"http://localhost", "-H", "A: s3cret\r\nB: c"},
		{"http://localhost", "--publish", "/_sse", "--token", "s3cret"}, {"http://localhost", "--origin", "app"}, {"http://localhost", "--idle", "-1s"},
	} {
		out, stderr, failed := doctorSays(t, t.Context(), args...)
		if !failed || stderr == "" || strings.Contains(out+stderr, "s3cret") {
			t.Errorf("%q: failed %v: %s%s", args, failed, out, stderr)
		}
	}
}

func TestDoctorCommandInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close() // waits for its requests to end
	begin := time.Now()
	out, _, failed := doctorSays(t, ctx, server.URL, "--timeout", "1h")
	if !failed || out != "" || time.Since(begin) > limitOfCommand {
		t.Errorf("failed: %v, after %v: %s", failed, time.Since(begin), out)
	}
}

// limitOfCommand is far more than an interrupted command takes.
const limitOfCommand = 30 * time.Second
