package guard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func TestCORS(t *testing.T) {
	listed := []string{"https://app.example.com", "http://localhost:3000"}
	const refused = "refused"
	for _, test := range []struct {
		name    string
		origins []string
		host    string
		origin  string
		allow   string // Access-Control-Allow-Origin, "" for none
	}{
		{"listed", listed, "push.example.com", "https://app.example.com", "https://app.example.com"},
		{"listed with a port", listed, "push.example.com", "http://localhost:3000", "http://localhost:3000"},
		{"no Origin", listed, "push.example.com", "", ""},
		{"not listed", listed, "push.example.com", "https://evil.example", refused},
		{"another scheme", listed, "push.example.com", "http://app.example.com", refused},
		{"another port", listed, "push.example.com", "https://app.example.com:8443", refused},
		{"a longer name", listed, "push.example.com", "https://app.example.com.evil.example", refused},
		{"null", listed, "push.example.com", "null", refused},
		{"null, nothing listed", nil, "push.example.com", "null", refused},
		{"nothing listed", nil, "push.example.com", "https://app.example.com", refused},
		{"garbage", nil, "push.example.com", "https://[::1", refused},
		{"no host", nil, "push.example.com", "https://", refused},

		{"own host", nil, "push.example.com", "https://push.example.com", ""},
		{"own host behind a proxy that took TLS off", nil, "push.example.com", "http://push.example.com", ""},
		{"own host, its port spelled out", nil, "push.example.com:443", "https://push.example.com", ""},
		{"own host, the other scheme's port", nil, "push.example.com:80", "https://push.example.com", refused},
		{"own host and port", nil, "localhost:8080", "http://localhost:8080", ""},
		{"own host, another port", nil, "localhost:8080", "http://localhost:3000", refused},
		{"own host, default port", nil, "localhost:8080", "http://localhost", refused},
		{"own host, upper case", nil, "Push.Example.com", "https://push.example.com", ""},
		{"own address", nil, "[::1]:8080", "http://[::1]:8080", ""},
		{"own host of another kind", nil, "localhost", "capacitor://localhost", refused},
		{"own host, others listed", listed, "push.example.com", "https://push.example.com", ""},
		{"a host that is contained", nil, "push.example.com", "https://example.com", refused},

		{"any", []string{"*"}, "push.example.com", "https://evil.example", "*"},
		{"any, null", []string{"*"}, "push.example.com", "null", "*"},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy, err := NewCORS(test.origins, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{http.MethodGet, http.MethodPost, "QUERY", http.MethodHead, http.MethodOptions} {
				r := httptest.NewRequest(method, "/events", nil)
				r.Host = test.host
				if test.origin != "" {
					r.Header.Set("Origin", test.origin)
				}
				if method == http.MethodOptions {
					r.Header.Set("Access-Control-Request-Method", "QUERY")
					r.Header.Set("Access-Control-Request-Headers", "authorization,cache-control,content-type,last-event-id")
				}
				w := httptest.NewRecorder()
				done, p := policy.Handle(w, r)

				if got := strings.Join(w.Header()["Vary"], ", "); !strings.Contains(got, "Origin") {
					t.Errorf("%s: Vary: %q", method, got)
				}
				allow, credentials := test.allow, ""
				switch allow {
				case refused:
					if done || p == nil || p.Status != http.StatusForbidden {
						t.Errorf("%s: done %v, problem %v", method, done, p)
					}
					if allow = ""; method == http.MethodHead {
						allow = "*" // without credentials
					}
				default:
					if p != nil || done != (method == http.MethodOptions) || done && w.Code != http.StatusNoContent {
						t.Errorf("%s: done %v, status %d, problem %v", method, done, w.Code, p)
					}
					if allow != "" && allow != "*" {
						credentials = "true"
					}
				}
				expect(t, w.Header(), "Access-Control-Allow-Origin", allow)
				expect(t, w.Header(), "Access-Control-Allow-Credentials", credentials)
				if method == http.MethodOptions && allow != "" {
					expect(t, w.Header(), "Access-Control-Allow-Methods", "QUERY")
					expect(t, w.Header(), "Access-Control-Allow-Headers", "authorization,cache-control,content-type,last-event-id")
					expect(t, w.Header(), "Access-Control-Max-Age", "600")
				}
			}
		})
	}
}

func expect(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	if got := h.Get(name); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

// A preflight for what is not allowed gets an answer that allows nothing.
func TestCORSPreflightRefused(t *testing.T) {
	policy, err := NewCORS([]string{"https://app.example.com"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for method, header := range map[string]string{"DELETE": "", "GET": "x-secret"} {
		r := httptest.NewRequest(http.MethodOptions, "/events", nil)
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", method)
		if header != "" {
			r.Header.Set("Access-Control-Request-Headers", header)
		}
		w := httptest.NewRecorder()
		if done, p := policy.Handle(w, r); !done || p != nil {
			t.Errorf("%s %s: done %v, problem %v", method, header, done, p)
		}
		expect(t, w.Header(), "Access-Control-Allow-Origin", "")
		expect(t, w.Header(), "Access-Control-Allow-Methods", "")
	}
}

// An OPTIONS that is no preflight is left to the handler.
func TestCORSOptions(t *testing.T) {
	policy, err := NewCORS(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if done, p := policy.Handle(w, httptest.NewRequest(http.MethodOptions, "/events", nil)); done || p != nil {
		t.Errorf("done %v, problem %v", done, p)
	}
}

// One page has one origin.
func TestCORSTwoOrigins(t *testing.T) {
	policy, err := NewCORS([]string{"https://app.example.com"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Header["Origin"] = []string{"https://app.example.com", "https://evil.example"}
	if _, p := policy.Handle(httptest.NewRecorder(), r); p == nil || p.Status != http.StatusForbidden {
		t.Errorf("problem %v", p)
	}
}

// A page must be able to read why it is refused.
func TestCORSOnErrors(t *testing.T) {
	policy, err := NewCORS([]string{"https://app.example.com"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Header.Set("Origin", "https://app.example.com")
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Accept-Encoding")
	if _, p := policy.Handle(w, r); p != nil {
		t.Fatal(p)
	}
	problem.New(http.StatusUnauthorized, "who are you?").Write(w)
	got := w.Result().Header
	expect(t, got, "Access-Control-Allow-Origin", "https://app.example.com")
	expect(t, got, "Access-Control-Allow-Credentials", "true")
	if vary := strings.Join(got["Vary"], ", "); vary != "Accept-Encoding, Origin" {
		t.Errorf("Vary: %q", vary)
	}
}

func TestCORSOriginsAreChecked(t *testing.T) {
	for _, origins := range [][]string{{"https://app.example.com/"}, {"*", "https://app.example.com"}, {"null"}} {
		if _, err := NewCORS(origins, nil, nil); err == nil {
			t.Errorf("%q: no error", origins)
		}
	}
}
