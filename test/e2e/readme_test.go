package e2e_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// snippet is a code block of a Markdown file.
type snippet struct {
	file    string
	line    int
	section string // the heading that it stands under
	before  string // the name that the line before begins with, in backquotes or not, such as a file's
	kind    string // what stands behind the fence
	text    string
}

func (s snippet) String() string { return fmt.Sprintf("%s:%d (%s)", s.file, s.line, s.kind) }

func snippets(t *testing.T, file string) (all []snippet) {
	t.Helper()
	var s *snippet
	section, before, n := "", "", 0
	for line := range strings.Lines(harness.File(t, file)) {
		n++
		switch fence, kind, ok := strings.Cut(strings.TrimSpace(line), "```"); {
		case ok && fence == "" && s == nil:
			s = &snippet{file: file, line: n, section: section, before: before, kind: kind}
		case ok && fence == "":
			all, s = append(all, *s), nil
		case s != nil:
			s.text += line
		case strings.HasPrefix(line, "#"):
			section = strings.Trim(line, "# \n")
		}
		if text := strings.TrimSpace(line); s == nil && text != "" {
			name, _ := strings.CutPrefix(text, "`")
			before, _, _ = strings.Cut(name, "`")
		}
	}
	if s != nil {
		t.Fatalf("%v is not closed", s)
	}
	return all
}

// readme is the one snippet of the README that is of a kind and holds a text.
func readme(t *testing.T, kind, holds string) snippet {
	t.Helper()
	var found []snippet
	for _, s := range snippets(t, "README.md") {
		if s.kind == kind && strings.Contains(s.text, holds) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d snippets of %s with %q, want 1: %v", len(found), kind, holds, found)
	}
	return found[0]
}

// run runs a snippet as a script, in the repository's top folder. Of the snippet, only what the pairs say is replaced.
func (s snippet) run(t *testing.T, pairs ...string) (output string) {
	t.Helper()
	path := harness.WriteFile(t, harness.Dir(t), "snippet", harness.Replace(t, s.String(), s.text, pairs...))
	var cmd *exec.Cmd
	switch s.kind {
	case "sh":
		cmd = exec.Command(harness.Program(t, "sh"), "-eu", path)
	case "php":
		cmd = exec.Command(harness.Program(t, "php"), path)
	default:
		t.Fatalf("%v cannot be run", s)
	}
	cmd.Dir = harness.Root()
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s\n%s", s, err, out, &errors)
	}
	return string(out)
}

// documents are what is read by who uses the product.
var documents = []string{
	"README.md", "CONTRIBUTING.md", "docs/brokers.md", "docs/security.md", "docs/operations.md", "docs/doctor.md", "docs/commands.md",
	"docs/sources.md", "docs/relays.md", "docs/mercure.md", "docs/frankenphp.md",
	"docs/start/php.md", "docs/start/javascript.md", "docs/start/node.md", "docs/start/python.md", "docs/start/go.md",
	"examples/php/README.md", "examples/php/redis-direct/README.md", "examples/cluster/README.md",
}

// Each snippet is at least what it says to be.
func TestSnippetsAreValid(t *testing.T) {
	for _, name := range []string{"SSE_PUSH_TICKET_SECRET", "SSE_PUSH_JWT_SECRET", "SSE_PUSH_CLIENT_KEY", "SSE_PUSH_INSPECTOR", "SSE_PUSH_TOKEN", "SSE_PUSH_RELAY_SECRET", "OPENAI_KEY", "REDIS_PASSWORD",
		"MERCURE_PUBLISHER_JWT_KEY", "MERCURE_SUBSCRIBER_JWT_KEY"} {
		t.Setenv(name, strings.Repeat("x", 32))
	}
	known := []string{"", "caddyfile", "sh", "js", "php", "nginx", "go", "text", "yaml", "html", "python"}
	for _, file := range documents {
		for _, s := range snippets(t, file) {
			if !slices.Contains(known, s.kind) {
				t.Errorf("%v: no test knows what this is", s)
				continue
			}
			if out, err := s.check(t); err != nil {
				t.Errorf("%v: %v\n%s", s, err, out)
			}
		}
	}
}

func (s snippet) check(t *testing.T) (output string, err error) {
	t.Helper()
	dir, text := harness.Dir(t), s.text
	var cmd *exec.Cmd
	switch s.kind {
	case "caddyfile":
		path := harness.WriteFile(t, dir, "Caddyfile", text)
		return harness.RunCaddy(t, "validate", "--config", path, "--adapter", "caddyfile")
	case "sh":
		cmd = exec.Command(harness.Program(t, "sh"), "-n", harness.WriteFile(t, dir, "snippet.sh", text))
	case "js":
		cmd = exec.Command(harness.Program(t, "node"), "--check", harness.WriteFile(t, dir, "snippet.mjs", text))
	case "php":
		if !strings.HasPrefix(text, "<?php") {
			text = "<?php\n" + text
		}
		cmd = exec.Command(harness.Program(t, "php"), "-l", harness.WriteFile(t, dir, "snippet.php", text))
	default: // run by a test of its own, or not to be run
		return "", nil
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// quickStart runs the README's first Caddyfile. It returns the pair that makes the other snippets talk to it.
func quickStart(t *testing.T) (address string, pair []string) {
	t.Helper()
	address = "localhost:" + harness.Port(t)
	pair = []string{"localhost:8080", address}
	all := snippets(t, "README.md")
	if len(all) == 0 || all[0].kind != "caddyfile" {
		t.Fatal("README.md does not begin with a Caddyfile")
	}
	first := all[0]
	if n := len(strings.Split(strings.TrimSpace(first.text), "\n")); n > 8 {
		t.Errorf("the first Caddyfile has %d lines, want at most 8", n)
	}
	harness.StartCaddy(t, harness.Replace(t, first.String(), first.text, pair...))
	return address, pair
}

// What a newcomer does first: one section, in which everything works with everything as it is printed.
func TestReadmeQuickStart(t *testing.T) {
	t.Parallel()
	address, pair := quickStart(t)
	tab := harness.OpenTab(t, "http://"+address+"/")
	stranger := harness.Open(t, "http://"+address+"/events?userId=u2")
	stranger.Connected()
	all := snippets(t, "README.md")
	section := all[0].section

	tested := map[string]int{}
	for _, s := range all {
		if s.section != section {
			continue
		}
		tested[s.kind]++
		heard := len(tab.Console())
		switch s.kind {
		case "js":
			script, err := json.Marshal(s.text)
			if err != nil {
				t.Fatal(err)
			}
			harness.Eval[bool](tab, `(document.head.append(Object.assign(document.createElement('script'), { type: 'module', textContent: `+string(script)+` })), true)`)
			route := harness.Route{URL: "http://" + address + "/_sse"}
			harness.EventuallyEqual(t, "connections of u1", 1, func() int { return route.Connections(t, "u1") })
			continue
		case "sh":
			if out := s.run(t, pair...); !strings.HasPrefix(out, `{"id":"`) {
				t.Errorf("%v printed %q, without an id", s, out)
			}
		case "php":
			if out := s.run(t, pair...); !strings.HasPrefix(out, "sent as ") {
				t.Errorf("%v printed %q", s, out)
			}
		case "caddyfile":
			continue // runs already
		default:
			t.Fatalf("%v: no test runs this", s)
		}
		brokertest.Eventually(t, "the page hears of what was published", func() bool { return len(tab.Console()) > heard })
		if got := tab.Console()[heard]; got != "order 7" {
			t.Errorf("after %v the page says %q, want order 7", s, got)
		}
	}
	for _, kind := range []string{"caddyfile", "js", "sh", "php"} {
		if tested[kind] != 1 {
			t.Errorf("the section %q has %d snippets of %s, want 1", section, tested[kind], kind)
		}
	}
	harness.Route{URL: "http://" + address + "/_sse"}.Publish(t, harness.Event{"broadcast": true, "data": "for all"})
	stranger.Expect("for all") // and nothing before
}

// Every other command line of the README.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	harness.BuildCaddy(t) // which one of them does
	address, pair := quickStart(t)
	u1 := harness.Open(t, "http://"+address+"/events?userId=u1")
	u1.Connected()
	first := true
	for _, s := range snippets(t, "README.md") {
		if s.kind != "sh" {
			continue
		}
		if first { // a part of the quick start
			first = false
			continue
		}
		if !strings.Contains(s.text, pair[0]) {
			s.run(t)
			continue
		}
		out := s.run(t, pair...)
		var answer []struct{ ID string }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer) != 3 {
			t.Fatalf("%v printed %q, want three ids", s, out)
		}
		for i, a := range answer {
			if a.ID == "" {
				t.Errorf("%v: item %d has no id: %s", s, i, out)
			}
		}
		u1.Expect("two\nlines", "to all")
	}
}

// The big Caddyfile.
func TestReadmeSite(t *testing.T) {
	t.Parallel()
	s := readme(t, "caddyfile", "forward_auth")
	site, internal := "localhost:"+harness.Port(t), "127.0.0.1:"+harness.Port(t)
	whoami, fpm := harness.StartPHP(t, 2, testdata(t, "php")), harness.StartFPM(t, 2)
	harness.StartCaddy(t, harness.Replace(t, s.String(), s.text, "localhost:8080", site, "127.0.0.1:9090", internal,
		"localhost:9001", whoami, "localhost:9000", fpm.Address, "root * public", "root * "+testdata(t, "php")))

	const page = "https://app.example.com"
	ann := harness.Open(t, "http://"+site+"/events?topic=public/*&topic=user/ann/*", "Cookie", "session=ann-session", "X-User-ID", "ben", "Origin", page)
	if who := ann.Connected().User; who == nil || *who != "ann" {
		t.Errorf("ann is %v", who)
	}
	if got := ann.Header().Get("Access-Control-Allow-Origin"); got != page {
		t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, page)
	}
	route := harness.Route{URL: "http://" + internal + "/_sse"}
	for _, target := range []harness.Event{{"user": "ann"}, {"topic": "public/news"}, {"topic": "user/ann/orders"}} {
		target["data"] = fmt.Sprint(target)
		route.Publish(t, target)
		ann.Expect(target["data"].(string))
	}
	if status, _, _ := harness.Fetch(t, "http://"+site+"/events?topic=user/ben/*", "Cookie", "session=ann-session"); status != 403 {
		t.Errorf("ann asks for what is ben's: status %d, want 403", status)
	}
	checkPage(t, "http://"+site+"/any/page", "app GET /any/page")

	// The app that knows the users refuses an ended session. Its login page must not be refused along with the stream.
	ended := []string{"Cookie", "session=ended"}
	if status, body, _ := harness.Fetch(t, "http://"+site+"/login", ended...); status != 200 || !strings.Contains(body, "app GET /login") {
		t.Errorf("the login page with an ended session: status %d, %.200q", status, body)
	}
	if status, _, _ := harness.Fetch(t, "http://"+site+"/events", ended...); status != 401 {
		t.Errorf("a stream with an ended session: status %d, want 401", status)
	}
}

// The log filter.
func TestReadmeLog(t *testing.T) {
	t.Parallel()
	s := readme(t, "caddyfile", "REDACTED")
	address := "localhost:" + harness.Port(t)
	caddy := harness.StartCaddy(t, harness.Replace(t, s.String(), s.text, "localhost:8080", address))
	stream := harness.Open(t, "http://"+address+"/events?userId=my-secret-name&replay=1")
	stream.Connected()
	stream.Leave()
	brokertest.Eventually(t, "the access log tells of the stream", func() bool { return strings.Contains(caddy.Output(), "REDACTED") })
	if strings.Contains(caddy.Output(), "my-secret-name") {
		t.Errorf("the log has the name: %s", caddy.Output())
	}
}

// nginx as the README has it, in front of the README's Caddyfile.
func TestReadmeNginx(t *testing.T) {
	t.Parallel()
	address, _ := quickStart(t)
	_, port, _ := strings.Cut(address, ":")
	s := readme(t, "nginx", "proxy_pass")
	front := harness.StartNginx(t, harness.Replace(t, s.String(), s.text, "8080", port, "listen 8088", "listen 127.0.0.1:$PORT"))
	stream := harness.Open(t, front+"/events?userId=u1")
	stream.Connected()
	harness.Route{URL: "http://" + address + "/_sse"}.Publish(t, harness.Event{"user": "u1", "data": "through nginx"})
	stream.Expect("through nginx")
}

// The files that the README and its neighbours link to are there.
func TestReadmeLinks(t *testing.T) {
	t.Parallel()
	for _, file := range documents {
		for _, part := range strings.Split(harness.File(t, file), "](")[1:] {
			target, _, _ := strings.Cut(part, ")")
			target, _, _ = strings.Cut(target, "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := filepath.Glob(target); err != nil {
				t.Errorf("%s links to %q: %v", file, target, err)
			}
			harness.File(t, filepath.Join(filepath.Dir(file), target))
		}
	}
}
