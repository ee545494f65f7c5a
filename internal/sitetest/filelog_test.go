package sitetest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/filebroker"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// logDir returns the directory of a file log, which is not removed before its hubs have let go of it.
func logDir(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "sse")
	t.Cleanup(func() {
		locks, err := filepath.Glob(filepath.Join(dir, "*", "lock"))
		if err != nil || len(locks) == 0 {
			t.Errorf("no log was kept in %s: %v", dir, err)
		}
		for _, lock := range locks {
			brokertest.Eventually(t, "the log is let go of", func() bool {
				b, err := filebroker.Open(filepath.Dir(lock), filebroker.Options{})
				if err != nil {
					return false
				}
				return b.Close() == nil
			})
		}
	})
	return dir
}

// When the directory of a file log is removed while in use, publishers and the load balancer are told.
func TestFileLogIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sse")
	s := sitetest.Serve(t, sitetest.Route("hub main\nbroker file "+dir))
	c := s.Open("/events?userId=u1")
	s.Publish("user", "u1", "data", "before")
	c.Want("before")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var health sitetest.Answer
	if !brokertest.Until(func() bool {
		health = s.Do("GET", "/_sse/health", "")
		return health.Status == http.StatusServiceUnavailable
	}) {
		t.Fatalf("health is %d %s", health.Status, health.Body)
	}
	refused := s.Do("POST", "/_sse/publish", "user=u1&data=after", "Content-Type", "application/x-www-form-urlencoded")
	if refused.Status != http.StatusServiceUnavailable {
		t.Errorf("a publish is answered by %d %s", refused.Status, refused.Body)
	}
	for _, body := range []string{health.Body, refused.Body} {
		if !strings.Contains(body, "the directory of the file log was removed") {
			t.Errorf("does not say why: %s", body)
		}
	}
}
