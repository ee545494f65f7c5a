package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// quickStart runs the README's first Caddyfile, with the page below it. It returns the pair that makes the other snippets talk to it.
func quickStart(t *testing.T) (address string, pair []string) {
	t.Helper()
	address = "localhost:" + harness.Port(t)
	pair = []string{"localhost:8080", address}
	all := snippets(t, "README.md")
	if len(all) < 2 || all[0].before != "Caddyfile" || all[1].before != "public/index.html" {
		t.Fatal("README.md does not begin with a Caddyfile and a page")
	}
	caddyfile, public := all[0], harness.Dir(t)
	if n := len(strings.Split(strings.TrimSpace(caddyfile.text), "\n")); n > 11 {
		t.Errorf("the first Caddyfile has %d lines, want at most 11", n)
	}
	harness.WriteFile(t, public, "index.html", all[1].text)
	harness.StartCaddy(t, harness.Replace(t, caddyfile.String(), caddyfile.text, append(pair, "root public", "root "+public)...))
	return address, pair
}

// What a newcomer does first: one section, in which everything works with everything as it is printed.
func TestReadmeQuickStart(t *testing.T) {
	t.Parallel()
	address, pair := quickStart(t)
	route := harness.Route{URL: "http://" + address + "/_sse"}
	tab := harness.OpenTab(t, "http://"+address+"/")
	harness.EventuallyEqual(t, "connections of u1", 1, func() int { return route.Connections(t, "u1") })
	stranger := harness.Open(t, "http://"+address+"/events?userId=u2")
	stranger.Connected()

	all := snippets(t, "README.md")
	published := 0
	for _, s := range all[2:] {
		if s.section != all[0].section || strings.TrimSpace(s.text) == "caddy run" {
			continue
		}
		want := map[string]string{"sh": `{"id":"`, "php": "sent as "}[s.kind]
		if out := s.run(t, pair...); want == "" || !strings.HasPrefix(out, want) {
			t.Errorf("%v printed %q", s, out)
		}
		published++
		tab.Wait(fmt.Sprintf(`[...document.querySelectorAll('li')].map((item) => item.textContent).join() === '%s'`,
			strings.TrimSuffix(strings.Repeat("order 7,", published), ",")))
	}
	if published != 2 {
		t.Errorf("%d snippets publish, want 2", published)
	}
	route.Publish(t, harness.Event{"broadcast": true, "data": "for all"})
	stranger.Expect("for all") // and nothing before
}

// What the README says how to build.
func TestReadmeBuild(t *testing.T) {
	t.Parallel()
	harness.BuildCaddy(t)
	the(t, "README.md", "sh", "go build").run(t)
}

// nginx as docs/reference/fronts.md has it, in front of the README's Caddyfile.
func TestNginxWithDefaults(t *testing.T) {
	t.Parallel()
	address, _ := quickStart(t)
	_, port, _ := strings.Cut(address, ":")
	s := the(t, "docs/reference/fronts.md", "nginx", "listen 8088")
	front := harness.StartNginx(t, harness.Replace(t, s.String(), s.text, "8080", port, "listen 8088", "listen 127.0.0.1:$PORT"))
	stream := harness.Open(t, front+"/events?userId=u1")
	stream.Connected()
	harness.Route{URL: "http://" + address + "/_sse"}.Publish(t, harness.Event{"user": "u1", "data": "through nginx"})
	stream.Expect("through nginx")
}
