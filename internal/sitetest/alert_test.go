package sitetest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The alerts ask for metrics that are there, and the page for operators explains each of them.
func TestAlerts(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(sitetest.Repo(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules, page := read("examples/prometheus-rules.yml"), read("docs/howto/monitor.md")
	metrics := sitetest.Serve(t, sitetest.Route("")+sitetest.Metrics).Do("GET", "/metrics", "").Body
	asked := regexp.MustCompile(`\b(sse_push_\w+|process_\w+)`)
	for _, file := range []string{rules, page} {
		for _, name := range asked.FindAllString(file, -1) {
			if !regexp.MustCompile(`(?m)^` + name + `(_bucket)?[ {]`).MatchString(metrics) {
				t.Errorf("%s is not there", name)
			}
		}
	}
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 5 {
		t.Fatalf("got the alerts %v", alerts)
	}
	for _, alert := range alerts {
		if !strings.Contains(page, "| `"+alert[1]+"` |") {
			t.Errorf("docs/howto/monitor.md does not explain %s", alert[1])
		}
	}
	// The links of the page within itself, and those of the alerts to it.
	heads := map[string]bool{}
	for _, head := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(head[1]), "")
		heads[strings.ReplaceAll(plain, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(page, -1)
	runbooks := regexp.MustCompile(`runbook_url: \S+/docs/howto/monitor\.md#(\S+)`).FindAllStringSubmatch(rules, -1)
	if len(runbooks) != len(alerts) {
		t.Errorf("%d alerts have %d addresses of the runbook", len(alerts), len(runbooks))
	}
	for _, link := range append(links, runbooks...) {
		if !heads[link[1]] {
			t.Errorf("no heading is #%s", link[1])
		}
	}
}
