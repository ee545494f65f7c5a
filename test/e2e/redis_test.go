package e2e_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// The example as it is: PHP writes into Redis, and the client hears it from Caddy.
func TestPHPPublishesIntoRedis(t *testing.T) {
	t.Parallel()
	port, site := harness.Port(t), "http://localhost:"+harness.Port(t)
	harness.StartRedis(t, harness.Dir(t), port)
	harness.StartCaddy(t, harness.File(t, "examples/php/redis-direct/Caddyfile"), "SITE_ADDRESS="+site, "REDIS_URL=redis://127.0.0.1:"+port)
	c := harness.Open(t, site+"/events?userId=u1")
	c.Connected()
	publish := func(args ...string) (string, error) {
		cmd := exec.Command(harness.Program(t, "php"), append([]string{"examples/php/redis-direct/publish.php"}, args...)...)
		cmd.Dir, cmd.Env = harness.Root(), []string{"REDIS_PORT=" + port}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, event := range [][]string{{"u2", "not his"}, {"u1", "héllo\nworld"}} {
		if out, err := publish(event...); err != nil || !strings.HasPrefix(out, "published as ") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c.Expect("héllo\nworld")
}
