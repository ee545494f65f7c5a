package e2e_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// walkthrough is a page of docs that is followed to the letter: its files in a folder of their own, its commands run there.
type walkthrough struct {
	t        *testing.T
	page     string
	dir      string
	ports    *strings.Replacer
	commands []command // those that have not been run yet
	env      []string  // what is added to their environment
}

// command is a snippet of commands, with the files that change before them.
type command struct {
	text    string
	changed map[string]string
}

// walk writes the page's files. One that the page gives once more is written anew before the commands that follow it. The addresses in
// files and commands are replaced by free ones.
func walk(t *testing.T, page string) *walkthrough {
	t.Helper()
	return walkPart(t, page, snippets(t, page))
}

// walkPart is walk with some of the page's snippets.
func walkPart(t *testing.T, page string, part []snippet) *walkthrough {
	t.Helper()
	harness.BuildCaddy(t)
	w := &walkthrough{t: t, page: page, dir: harness.Dir(t)}
	var pairs []string
	for _, port := range []string{"8080", "8081", "9000", "9001", "9101", "9102", "9103", "6379"} {
		pairs = append(pairs, port, harness.Port(t))
	}
	w.ports = strings.NewReplacer(pairs...)
	written, changed := map[string]bool{}, map[string]string{}
	for _, s := range part {
		switch text := w.ports.Replace(s.text); {
		case s.kind == "sh":
			w.commands = append(w.commands, command{text, changed})
			changed = map[string]string{}
		case s.kind == "": // what a command prints
		case s.before == "" || strings.Contains(s.before, " "):
			t.Fatalf("%v: no file is named before it", s)
		case written[s.before]:
			changed[s.before] = text
		default:
			w.write(s.before, text)
			written[s.before] = true
		}
	}
	if len(changed) > 0 {
		t.Fatalf("%s: no commands follow the new %v", page, changed)
	}
	w.write("SsePush.php", harness.File(t, "clients/php/SsePush.php"))
	w.write("ini/opcache.ini", "opcache.revalidate_freq = 0\n") // PHP would look for a changed file every two seconds; tests type faster
	return w
}

func (w *walkthrough) write(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Join(w.dir, filepath.Dir(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	harness.WriteFile(w.t, w.dir, name, text)
}

// url is an address that the page prints, such as http://localhost:8080/, as it is in this run.
func (w *walkthrough) url(printed string) string { return w.ports.Replace(printed) }

func (w *walkthrough) next() *exec.Cmd {
	w.t.Helper()
	if len(w.commands) == 0 {
		w.t.Fatalf("%s has no more commands", w.page)
	}
	for name, text := range w.commands[0].changed {
		w.write(name, text)
	}
	cmd := exec.Command(harness.Program(w.t, "sh"), "-eu", "-c", w.commands[0].text)
	w.commands = w.commands[1:]
	cmd.Dir = w.dir
	// The folders of Caddy's own files: tests that run beside this one have theirs.
	cmd.Env = slices.Concat(os.Environ(), []string{"PATH=" + harness.Root() + ":" + os.Getenv("PATH") + ":/usr/sbin", "XDG_DATA_HOME=" + w.dir, "XDG_CONFIG_HOME=" + w.dir,
		"CADDY_ADMIN=unix/" + filepath.Join(w.dir, "admin.sock"), "PHP_INI_SCAN_DIR=:" + filepath.Join(w.dir, "ini")}, w.env)
	return cmd
}

// serve runs the page's next commands, which last, until the site answers and what is behind it does.
func (w *walkthrough) serve() *harness.Process {
	w.t.Helper()
	p := harness.Start(w.t, w.page, w.next())
	w.answers("http://localhost:8080/")
	return p
}

// answers waits until there is an answer at an address that the page prints, and it is not that something is down.
func (w *walkthrough) answers(printed string) {
	w.t.Helper()
	brokertest.Eventually(w.t, printed+" answers", func() bool {
		res, err := harness.Client.Get(w.url(printed))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode < http.StatusInternalServerError
	})
}

// run runs the page's next commands, which end, and returns what they print.
func (w *walkthrough) run() string {
	w.t.Helper()
	cmd := w.next()
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%s: %v: %v\n%s%s", w.page, cmd, err, out, &complaints)
	}
	return string(out)
}

// connected waits until a user has that many connections.
func (w *walkthrough) connected(user string, want int) {
	w.t.Helper()
	route := harness.Route{URL: w.url("http://localhost:8080/_sse")}
	harness.EventuallyEqual(w.t, "connections of "+user, want, func() int { return route.Connections(w.t, user) })
}

// A newcomer with one of these languages, a page each.
func TestStart(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(harness.Root(), "docs", "start", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("the pages are %q: %v", pages, err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if name == "laravel" || name == "symfony" || name == "wordpress" { // TestLaravel and the like have the apps
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := walk(t, "docs/start/"+name+".md")
			w.serve()
			tab := harness.OpenTab(t, w.url("http://localhost:8080/"))
			w.connected("u1", 1)
			if len(w.commands) > 0 {
				w.run()
			} else {
				brokertest.Eventually(t, "the app listens", func() bool { return !harness.PortIsFree(w.ports.Replace("9000")) })
				tab.Click("button")
			}
			tab.Wait(`/^order \d+$/.test(document.querySelector('li:last-child')?.textContent)`)
			tab.Screenshot("start-" + name)
		})
	}
}

// items is a JavaScript expression of the lines of a page's list.
const items = `[...document.querySelectorAll('li')].map((item) => item.textContent).join('\n')`

func TestHowToOneUser(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/one-user.md")
	w.serve()
	site := w.url("http://localhost:8080/")
	if status := harness.Status(t, site+"events"); status != http.StatusUnauthorized {
		t.Errorf("a stream without a login: status %d, want 401", status)
	}
	ann, ben := harness.NewProfile(t).OpenTab(t, site), harness.NewProfile(t).OpenTab(t, site)
	ann.Click(`button[value="ann"]`)
	ben.Click(`button[value="ben"]`)
	ann.Wait(items + ` === 'I am ann'`)
	ben.Wait(items + ` === 'I am ben'`)
	if out := w.run(); out != "sent" {
		t.Errorf("notify.php prints %q, want sent", out)
	}
	ann.Wait(items + ` === 'I am ann\nhello'`)
	notify := func(user, text, want string) {
		t.Helper()
		res, err := harness.Client.PostForm(site+"notify.php", url.Values{"user": {user}, "text": {text}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); string(got) != want {
			t.Errorf("notify.php to %s prints %q, want %q (%v)", user, got, want, err)
		}
	}
	notify("ben", "to ben", "sent")
	ben.Wait(items + ` === 'I am ben\nto ben'`) // and nothing that was for ann
	ben.Close()
	w.connected("ben", 0)
	notify("ben", "to ben", "offline: send an email")
}

func TestHowToChatRoom(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/chat-room.md")
	w.serve()
	ann := harness.OpenTab(t, w.url("http://localhost:8080/?name=ann"))
	ann.Wait(`document.querySelector('output').value === 'ann'`)
	ben := harness.NewProfile(t).OpenTab(t, w.url("http://localhost:8080/?name=ben"))
	for _, tab := range []*harness.Tab{ann, ben} {
		tab.Wait(`document.querySelector('output').value === 'ann, ben'`)
	}
	ann.Fill("input", "hello")
	ann.Click("button")
	for _, tab := range []*harness.Tab{ann, ben} {
		tab.Wait(items + ` === 'ann: hello'`)
	}
	ann.Screenshot("howto-chat-room")
	ben.Close()
	ann.Wait(`document.querySelector('output').value === 'ann'`)
}

func TestHowToCrossOrigin(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/cross-origin.md")
	w.serve()
	tab := harness.OpenTab(t, w.url("http://localhost:8080/login.php"))
	tab.Wait(items + ` === 'I am ann'`)
	if at := harness.Eval[string](tab, `location.href`); at != w.url("http://localhost:8081/") {
		t.Errorf("the page is %s", at)
	}
	w.run()
	tab.Wait(items + ` === 'I am ann\nhello'`)
	status, _, _ := harness.Fetch(t, w.url("http://localhost:8080/events"), "Origin", "http://localhost:1")
	if status != http.StatusForbidden {
		t.Errorf("a page that is not listed: status %d, want 403", status)
	}
}

func TestHowToFirstEvent(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/first-event.md")
	w.serve()
	brokertest.Eventually(t, "there are prices", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "prices.json"))
		return err == nil
	})
	stream := harness.Open(t, w.url("http://localhost:8080/events"))
	first := stream.Next()
	if !strings.Contains(first.Data, `"apple"`) || first.Type != "prices" {
		t.Errorf("the first event is %+v", first)
	}
	tab := harness.OpenTab(t, w.url("http://localhost:8080/"))
	tab.Wait(`/^\d\.\d\d$/.test(document.querySelector('#pear').textContent)`)
	if next := stream.Next(); next.Type != "prices" || next.ID == "" {
		t.Errorf("the next event is %+v", next)
	}
}

func TestHowToFetch(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/fetch.md")
	// The parser is there, in the version of package-lock.json.
	if err := os.Symlink(filepath.Join(harness.Root(), "test", "node_modules"), filepath.Join(w.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	w.commands[0].text = harness.Replace(t, w.page, w.commands[0].text, "npm install --silent\n", "")
	p := w.serve()
	w.connected("ann", 1)
	w.run()
	brokertest.Eventually(t, "the client prints the event", func() bool { return strings.Contains(p.Output(), "status packed") })
}

func TestHowToManyNodes(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/many-nodes.md")
	harness.Program(t, "redis-server")
	w.serve()
	for _, port := range []string{"9101", "9102", "9103"} {
		w.answers("http://127.0.0.1:" + port + "/_sse/health")
	}
	tab := harness.OpenTab(t, w.url("http://localhost:8080/"))
	route := harness.Route{URL: w.url("http://127.0.0.1:9102/_sse")}
	harness.EventuallyEqual(t, "connections of u1", 1, func() int {
		var u1 struct{ Connections int }
		route.Call(t, http.MethodGet, "/users/u1", nil, &u1)
		return u1.Connections
	})
	w.run()
	tab.Wait(items + ` === 'order 1'`)
	if out := w.run(); !strings.Contains(out, `"u1"`) {
		t.Errorf("the node says of u1: %s", out)
	}
	w.run()
	tab.Wait(items + ` === 'order 1\norder 2'`)
}

func TestHowToDeploy(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/deploy.md")
	old := w.serve()
	tab := harness.OpenTab(t, w.url("http://localhost:8080/"))
	w.connected("u1", 1)
	w.run() // the reload
	tab.Wait(items + ` === 'connected\norder 1'`)
	w.run() // the stop
	old.Wait(t)
	app := harness.Start(t, "the app", w.next())
	w.serve()
	app.Wait(t)
	tab.Wait(items + ` === 'connected\norder 1\nconnected\norder 2'`)
}

func TestHowToMonitor(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/monitor.md")
	p := w.serve()
	tab := harness.OpenTab(t, w.url("http://localhost:8080/"))
	w.connected("u1", 1)
	if out := w.run(); !strings.Contains(out, "sent") {
		t.Errorf("explain says %s", out)
	}
	tab.Wait(items + ` === 'order 7'`)
	if out := w.run(); !strings.Contains(out, `sse_push_events_published_total{hub="`) {
		t.Errorf("the metrics are %s", out)
	}
	token, _, _ := strings.Cut(p.Output(), "\n")
	page := harness.NewProfile(t).OpenTab(t, w.url("http://localhost:8080/_inspect/"))
	page.Fill(`#signin [name=token]`, token)
	page.Click(`#signin .primary`)
	page.Wait(`document.body.innerText.includes('u1')`)
}

func TestHowToBehindAFront(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/behind-a-front.md")
	harness.Program(t, "nginx")
	w.serve()
	brokertest.Eventually(t, "nginx listens", func() bool { return !harness.PortIsFree(w.ports.Replace("8081")) })
	ask := func() string {
		out, _ := w.next().CombinedOutput() // it exits with 1 if it finds a fault
		return string(out)
	}
	out := ask()
	for _, want := range []string{"in front: nginx\n", "FAULT buffered\n", "proxy_buffering off;", "no proxy_ignore_headers"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
	w.run()
	brokertest.Eventually(t, "nginx has the new lines", func() bool {
		return passesOn(t, w.url("http://localhost:8081/events?userId=u1"))
	})
	if out := ask(); !strings.Contains(out, "\nHealthy\n") {
		t.Errorf("the report on the mended front is:\n%s", out)
	}
}

// passesOn reports whether the first bytes of a stream come while it is open.
func passesOn(t *testing.T, url string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := harness.Client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = res.Body.Read(make([]byte, 1))
	return err == nil
}

func TestHowToFromMercure(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/from-mercure.md")
	w.serve()
	site := w.url("http://localhost:8080/")
	tab := harness.OpenTab(t, site)
	tab.Wait(`events.readyState === EventSource.OPEN`)
	if out := w.run(); !strings.HasPrefix(out, "#") {
		t.Errorf("publish.php prints %q, want an id", out)
	}
	tab.Wait(items + ` === 'sold'`)
}
