package problem

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestProblemWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		problem *Problem
		status  int
		body    string
		headers map[string]string // "" means absent
	}{
		{
			name:    "field",
			problem: Field("user", "must be %s", "a string"),
			status:  400,
			body:    `{"type":"about:blank","title":"Bad Request","status":400,"detail":"user: must be a string","field":"user"}`,
			headers: map[string]string{"Allow": "", "WWW-Authenticate": "", "Retry-After": ""},
		},
		{
			name:    "index 0 is said",
			problem: New(413, "too long").AtIndex(0),
			status:  413,
			body:    `{"type":"about:blank","title":"Request Entity Too Large","status":413,"detail":"too long","index":0}`,
		},
		{
			name:    "no detail",
			problem: New(404, ""),
			status:  404,
			body:    `{"type":"about:blank","title":"Not Found","status":404}`,
		},
		{
			name:    "unauthorized",
			problem: New(401, "missing token"),
			status:  401,
			body:    `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"missing token"}`,
			headers: map[string]string{"WWW-Authenticate": "Bearer"},
		},
		{
			name:    "method",
			problem: MethodNotAllowed("GET", "DELETE"),
			status:  405,
			body:    `{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"send GET or DELETE"}`,
			headers: map[string]string{"Allow": "GET, DELETE"},
		},
		{
			name:    "retry later, rounded up",
			problem: RetryLater(503, 1500*time.Millisecond, "the broker is away"),
			status:  503,
			body:    `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"the broker is away"}`,
			headers: map[string]string{"Retry-After": "2"},
		},
		{
			name:    "retry later without a time",
			problem: New(429, "slow down"),
			status:  429,
			body:    `{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"slow down"}`,
			headers: map[string]string{"Retry-After": "1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			c.problem.Write(w)
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			if got := w.Body.String(); got != c.body+"\n" {
				t.Errorf("body %s, want %s", got, c.body)
			}
			want := map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
			for name, v := range c.headers {
				want[name] = v
			}
			for name, v := range want {
				if got := w.Header().Get(name); got != v {
					t.Errorf("%s: %q, want %q", name, got, v)
				}
			}
		})
	}
}

func TestProblemIsError(t *testing.T) {
	var err error = Field("ttl", "must be 1 to 5 seconds")
	if got := err.Error(); got != "400 Bad Request: ttl: must be 1 to 5 seconds" {
		t.Error(got)
	}
	if got := New(http.StatusNotFound, "").Error(); got != "404 Not Found" {
		t.Error(got)
	}
}

// A client's own text comes back neither whole nor broken.
func TestProblemClipsWhatAClientSent(t *testing.T) {
	for _, field := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 100), "x" + strings.Repeat("🎉", 100), "a\xffb", strings.Repeat("\x80", 300)} {
		p := Field(field, "unknown field")
		if len(p.Field) > 80 || len(p.Detail) > 100 {
			t.Errorf("field of %d bytes, detail of %d", len(p.Field), len(p.Detail))
		}
		if !utf8.ValidString(p.Field) || !utf8.ValidString(p.Detail) {
			t.Errorf("invalid UTF-8 in %q", p.Field)
		}
		var back Problem
		w := httptest.NewRecorder()
		p.Write(w)
		if err := json.Unmarshal(w.Body.Bytes(), &back); err != nil || back.Field != p.Field {
			t.Errorf("came back as %q (%v), want %q", back.Field, err, p.Field)
		}
	}
	if got := Clip("x" + strings.Repeat("🎉", 100)); got != "x"+strings.Repeat("🎉", 15)+"…" {
		t.Errorf("cut to %q", got)
	}
}
