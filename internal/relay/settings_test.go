package relay

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/egress"
)

// What lies below a URL of done, in any spelling that an app may read.
func TestBase(t *testing.T) {
	for _, c := range []struct {
		base, url string
		want      bool
	}{
		{"http://app.internal", "http://app.internal", true},
		{"http://app.internal", "http://app.internal/", true},
		{"http://app.internal/", "http://app.internal", true},
		{"http://app.internal/", "HTTP://App.Internal:80/a?b=c", true},
		{"http://app.internal/hooks", "http://app.internal/hooks", true},
		{"http://app.internal/hooks", "http://app.internal/hooks/a%2Fb", true},
		{"http://app.internal/hooks/", "http://app.internal/hooks", true},
		{"http://app.internal/hooks", "http://app.internal/hooksome", false},
		{"http://app.internal/hooks", "http://app.internal/", false},
		{"http://app.internal/hooks", "http://app.internal/Hooks", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/..", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/../x", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/%2e%2e/x", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/.%2E/x", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/..%2Fx", false},
		{"http://app.internal/hooks", "http://app.internal/hooks/..%5Cx", false},
		{"http://app.internal/hooks", "http://app.internal/./hooks", false},
		{"http://app.internal/hooks", "https://app.internal/hooks", false},
		{"http://app.internal/hooks", "http://app.internal:8080/hooks", false},
		{"http://app.internal/hooks", "http://other/hooks", false},
	} {
		b, err := parseBase(c.base)
		if err != nil {
			t.Fatal(err)
		}
		u, err := egress.ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if b.holds(u) != c.want {
			t.Errorf("%s below %s: not %t", c.url, c.base, c.want)
		}
	}
}
