package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// A newcomer with one of these languages, a page each: the files as printed, in a folder of their own, then the commands as printed.
func TestStart(t *testing.T) {
	t.Parallel()
	harness.BuildCaddy(t)
	pages, err := filepath.Glob(filepath.Join(harness.Root(), "docs", "start", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("the pages are %q: %v", pages, err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, "docs/start/"+name+".md")
		})
	}
}

func start(t *testing.T, page string) {
	t.Helper()
	dir := harness.Dir(t)
	site := "localhost:" + harness.Port(t)
	app := harness.Port(t)
	ports := strings.NewReplacer("localhost:8080", site, "9000", app)
	var commands []string
	for _, s := range snippets(t, page) {
		text := ports.Replace(s.text)
		if s.kind == "sh" {
			commands = append(commands, text)
			continue
		}
		if s.before == "" {
			t.Fatalf("%v: no file is named before it", s)
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(s.before)), 0o755); err != nil {
			t.Fatal(err)
		}
		harness.WriteFile(t, dir, s.before, text)
	}
	harness.WriteFile(t, dir, "SsePush.php", harness.File(t, "clients/php/SsePush.php"))

	shell := func(script string) *exec.Cmd {
		cmd := exec.Command(harness.Program(t, "sh"), "-eu", "-c", script)
		cmd.Dir = dir
		// The folders of Caddy's own files: tests that run beside this one have theirs.
		cmd.Env = append(os.Environ(), "PATH="+harness.Root()+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir,
			"CADDY_ADMIN=unix/"+filepath.Join(dir, "admin.sock"))
		return cmd
	}
	harness.Start(t, page, shell(commands[0]))
	brokertest.Eventually(t, "the site and the app answer", func() bool {
		return !harness.PortIsFree(strings.TrimPrefix(site, "localhost:")) && (len(commands) > 1 || !harness.PortIsFree(app))
	})
	tab := harness.OpenTab(t, "http://"+site+"/")
	harness.EventuallyEqual(t, "connections of u1", 1, func() int { return harness.Route{URL: "http://" + site + "/_sse"}.Connections(t, "u1") })
	if len(commands) == 1 {
		tab.Click("button")
	} else if out, err := shell(commands[1]).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands[1], err, out)
	}
	tab.Wait(`/^order \d+$/.test(document.querySelector('li:last-child')?.textContent)`)
	tab.Screenshot("start-" + strings.TrimSuffix(filepath.Base(page), ".md"))
}
