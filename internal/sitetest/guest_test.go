package sitetest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A line for a protocol that is not linked in says how to link it in.
func TestProtocolThatIsNotLinkedIn(t *testing.T) {
	body := "sse_push {\nmercure {\nanonymous\n}\n}"
	s := sitetest.NewSite(t, body)
	s.LogFile = filepath.Join(t.TempDir(), "log")
	_, err := sitetest.Adapt([]*sitetest.Site{s}, body)
	const want = "mercure is not linked in; build with: xcaddy build --with github.com/sse-push/caddy-sse-push " +
		"--with github.com/sse-push/caddy-sse-push/mercure, at "
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}
