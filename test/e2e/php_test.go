package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// examples runs a Caddyfile of examples/php as it stands there. What it listens on and talks to comes from the environment.
func examples(t *testing.T, caddyfile string, env ...string) (url string) {
	t.Helper()
	url = "http://localhost:" + harness.Port(t)
	env = append(env, "SITE_ADDRESS="+url, "SSE_PUSH_URL="+url+"/_sse")
	harness.StartCaddy(t, harness.File(t, "examples/php/"+caddyfile), env...)
	return url
}

// behindFPM and behindPHP run the PHP examples in the two ways that there are.
func behindFPM(t *testing.T, workers int) (url string, fpm *harness.FPM) {
	t.Helper()
	fpm = harness.StartFPM(t, workers)
	return examples(t, "Caddyfile.fpm", "PHP_FPM="+fpm.Address), fpm
}

func behindPHP(t *testing.T) (url string) {
	t.Helper()
	port := harness.Port(t)
	env := "SSE_PUSH_URL=http://localhost:" + port + "/_sse"
	url = "http://localhost:" + port
	harness.StartCaddy(t, harness.File(t, "examples/php/Caddyfile.phps"), "SITE_ADDRESS="+url, env,
		"PHP_CHAT="+harness.StartPHP(t, 4, "examples/php/chat/public", env),
		"PHP_PUBLISH="+harness.StartPHP(t, 2, "examples/php", env))
	return url
}

const password = "open sesame" // of every user of the chat

// enter signs a user in to the chat.
func enter(t *testing.T, profile *harness.Profile, url, name string) *harness.Tab {
	t.Helper()
	tab := profile.OpenTab(t, url+"/")
	tab.Fill(`[name=name]`, name)
	tab.Fill(`[name=password]`, password)
	tab.Click(`form button`)
	tab.Wait(`document.body.dataset.user === '` + name + `'`)
	tab.Wait(`document.getElementById('state').textContent === 'Connected'`)
	return tab
}

func say(tab *harness.Tab, to, text string) {
	harness.Eval[string](tab, fmt.Sprintf(`document.querySelector('#say [name=to]').value = %q`, to))
	tab.Fill(`#say [name=text]`, text)
	tab.Click(`#say button`)
}

// line is JavaScript for whether a text is the one of a line in the log.
func line(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#log li')].some(e => e.textContent === %q)`, text)
}

func sees(tab *harness.Tab, names ...string) {
	tab.Wait(fmt.Sprintf(`[...document.querySelectorAll('#users li')].map(e => e.textContent).join() === %q`, strings.Join(names, ",")))
}

func TestChat(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) string{
		"php-fpm": func(t *testing.T) string { url, _ := behindFPM(t, 4); return url },
		"php -S":  behindPHP,
	} {
		t.Run(name, func(t *testing.T) { chat(t, start(t)) })
	}
}

func chat(t *testing.T, url string) {
	route := harness.Route{URL: url + "/_sse"}
	annsMachine, bensMachine := harness.NewProfile(t), harness.NewProfile(t)
	ann := enter(t, annsMachine, url, "ann")
	sees(ann, "ann")

	// Who is there is a matter of the moment.
	ben := enter(t, bensMachine, url, "ben")
	sees(ben, "ann", "ben")
	sees(ann, "ann", "ben")
	ann.Wait(line("ben is here."))
	stranger := harness.NewProfile(t).OpenTab(t, url+"/")
	stranger.Fill(`[name=name]`, "ann")
	stranger.Fill(`[name=password]`, "a guess")
	stranger.Click(`form button`)
	stranger.Wait(`document.querySelector('.problem').textContent.includes('not the password')`)

	// A message to the room. What it looks like is nobody's markup.
	third := harness.Open(t, url+"/events?userId=carl&topic=room")
	third.Connected()
	const text = `<img src=x onerror=alert(1)> & "Grüße" 🎉`
	say(ann, "", text)
	ann.Wait(line("ann " + text))
	ben.Wait(line("ann " + text))
	for e := third.Next(); e.Type != "chat"; e = third.Next() {
	}

	// To one user: he and who sent it, and nobody else.
	say(ann, "ben", "psst")
	ben.Wait(line("ann, to you psst"))
	ann.Wait(line("to ben psst"))
	say(ben, "", "in public")
	for e := third.Next(); !strings.Contains(e.Data, "in public"); e = third.Next() {
		if e.Type == "private" || strings.Contains(e.Data, "psst") {
			t.Errorf("a third one heard %q", e)
		}
	}

	// One of two tabs asks, and is answered.
	second := annsMachine.OpenTab(t, url+"/")
	second.Wait(`document.getElementById('state').textContent === 'Connected'`)
	second.Click("#ask")
	const answers = `[...document.querySelectorAll('#log li.answer')].length`
	second.Wait(answers + ` === 1`)
	if got := harness.Eval[string](second, `document.querySelector('#log li.answer').textContent`); !strings.Contains(got, "2 tabs") {
		t.Errorf("the answer is %q, without the number of ann's tabs", got)
	}
	say(ben, "", "after the answer")
	for _, tab := range []*harness.Tab{ann, ben} {
		tab.Wait(line("ben after the answer"))
		if harness.Eval[int](tab, answers) > 0 {
			t.Error("a tab that has not asked has got the answer")
		}
	}
	looks(t, ann, "chat")

	// Who has another tab is still there, who has none is not.
	second.Close()
	harness.EventuallyEqual(t, "connections of ann", 1, func() int { return route.Connections(t, "ann") })
	sees(ben, "ann", "ben", "carl")
	ben.Close()
	sees(ann, "ann", "carl")
	ann.Wait(line("ben has left."))
	harness.EventuallyEqual(t, "connections of ben", 0, func() int { return route.Connections(t, "ben") })

	ann.Click("#leave button")
	ann.Wait(`document.querySelector('[name=name]')`)
	harness.EventuallyEqual(t, "connections of ann", 0, func() int { return route.Connections(t, "ann") })
}

// A tab that streams costs PHP nothing. Two workers, fifty tabs, and none of them is busy.
func TestWorkersAreIdle(t *testing.T) {
	t.Parallel()
	const tabs = 50
	url, fpm := behindFPM(t, 2)
	route := harness.Route{URL: url + "/_sse"}

	// So that it is known what busy looks like.
	dir := harness.Dir(t)
	stop := filepath.Join(dir, "stop")
	script := harness.WriteFile(t, dir, "stream.php", fmt.Sprintf(`<?php while (!file_exists(%q)) { usleep(10000); clearstatcache(); } echo 'done';`, stop))
	held := make(chan error, 1)
	go func() {
		_, err := fpm.Execute(script)
		held <- err
	}()
	harness.EventuallyEqual(t, "busy workers while a script streams", 1, func() int { return fpm.Load(t).Active })
	harness.WriteFile(t, dir, "stop", "")
	if err := <-held; err != nil {
		t.Fatal(err)
	}

	streams := make([]*harness.Stream, tabs)
	for i := range streams {
		streams[i] = harness.Open(t, fmt.Sprintf("%s/events?userId=u%d&topic=room", url, i))
		streams[i].Connected()
	}
	ann := enter(t, harness.NewProfile(t), url, "ann")
	if n := route.Connections(t, ""); n != tabs+1 {
		t.Fatalf("%d connections, want %d", n, tabs+1)
	}
	// The question itself may wait for a moment.
	harness.EventuallyEqual(t, "php-fpm's load while tabs stream", harness.Load{Total: 2}, func() harness.Load { return fpm.Load(t) })

	brokertest.Eventually(t, "the site's own status page, which keeps one worker busy, tells of no other", func() bool {
		status, body, _ := harness.Fetch(t, url+"/fpm-status")
		return status == http.StatusOK && strings.Contains(body, "active processes:     1\n")
	})
	for range 10 {
		status, body, took := harness.Fetch(t, url+"/")
		if status != http.StatusOK || !strings.Contains(body, "<title>Chat</title>") {
			t.Errorf("a page: %d %.100q", status, body)
		}
		if took > 5*time.Second { // it would wait for a tab to leave
			t.Errorf("a page took %v", took)
		}
	}
	say(ann, "", "hello all")
	for _, s := range streams {
		for e := s.Next(); e.Type != "chat"; e = s.Next() {
		}
	}
	harness.EventuallyEqual(t, "busy workers while tabs stream", 0, func() int { return fpm.Load(t).Active })
	if n := route.Connections(t, ""); n != tabs+1 {
		t.Errorf("%d connections, want %d", n, tabs+1)
	}
}

func TestTicker(t *testing.T) {
	t.Parallel()
	url, _ := behindFPM(t, 2)
	ticks := func(count int) (ids []string) {
		t.Helper()
		cmd := exec.Command(harness.Program(t, "php"), "examples/php/ticker/ticker.php", "--interval=0.01", "--count="+strconv.Itoa(count))
		cmd.Dir = harness.Root()
		cmd.Env = append(os.Environ(), "SSE_PUSH_URL="+url+"/_sse")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ticker.php: %v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			id, _, _ := strings.Cut(line, " ")
			ids = append(ids, id)
		}
		if len(ids) != count {
			t.Fatalf("ticker.php printed %d lines, want %d:\n%s", len(ids), count, out)
		}
		return ids
	}
	old := ticks(3)

	// The newest price comes at once, and only that.
	stream := harness.Open(t, url+"/events?topic=ticker&replay=1")
	if who := stream.Connected().User; who != nil {
		t.Errorf("a stream without a name is %q's", *who)
	}
	if got, want := stream.Next().ID, old[len(old)-1]; got != want {
		t.Errorf("replayed was %s, want %s", got, want)
	}
	// Of prices that would have to wait for a client, it gets the newest: in order, and to the last.
	for ids := ticks(20); len(ids) > 0; {
		e := stream.Next()
		var quote struct{ Prices map[string]float64 }
		if err := json.Unmarshal([]byte(e.Data), &quote); err != nil || len(quote.Prices) == 0 || e.Type != "price" {
			t.Fatalf("got %q, want prices", e)
		}
		i := slices.Index(ids, e.ID)
		if i < 0 {
			t.Fatalf("%s came, but not in order: to come were %q", e.ID, ids)
		}
		ids = ids[i+1:]
	}

	tab := harness.OpenTab(t, url+"/ticker")
	const shown = `[...document.querySelectorAll('#prices td + td')].map(e => e.textContent).join()`
	tab.Wait(`document.querySelectorAll('#prices tr').length === 3`) // by replay: nothing ticks now
	before := harness.Eval[string](tab, shown)
	ticks(5)
	tab.Wait(shown + ` !== '` + before + `'`)
	looks(t, tab, "ticker")
}

// The smallest example, from a shell and as a page.
func TestPublishExample(t *testing.T) {
	t.Parallel()
	fpm, _ := behindFPM(t, 2)
	for name, site := range map[string]string{"php-fpm": fpm, "php -S": behindPHP(t)} {
		t.Run(name, func(t *testing.T) {
			stream := harness.Open(t, site+"/events?userId=u1")
			stream.Connected()
			publish := func(args ...string) error {
				cmd := exec.Command(harness.Program(t, "php"), append([]string{"examples/php/publish.php"}, args...)...)
				cmd.Dir = harness.Root()
				cmd.Env = append(os.Environ(), "SSE_PUSH_URL="+site+"/_sse")
				return cmd.Run()
			}
			if err := publish("u1", "from a shell"); err != nil {
				t.Errorf("publish.php u1 …: %v", err)
			}
			stream.Expect("from a shell")
			if err := publish("", "to nobody"); err == nil {
				t.Error("publish.php without a user succeeds")
			}
			for user, want := range map[string]int{"u1": http.StatusOK, "": http.StatusBadRequest} {
				res, err := harness.Client.PostForm(site+"/publish.php", url.Values{"user": {user}, "text": {"from a page"}})
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("POST for the user %q: %s, want %d", user, res.Status, want)
				}
			}
			stream.Expect("from a page")
		})
	}
}

func TestFPMConfigOfExamples(t *testing.T) {
	t.Parallel()
	if out, err := harness.CheckFPM(t, "examples/php/php-fpm.conf"); err != nil {
		t.Errorf("php-fpm --test: %v\n%s", err, out)
	}
}

// Sites of the usual kinds, from Caddyfiles as they are printed.
func TestLaravelSite(t *testing.T) {
	t.Parallel()
	fpm := harness.StartFPM(t, 2)
	site := examples(t, "Caddyfile.laravel", "PHP_FPM="+fpm.Address)
	checkPush(t, site, "Accept-Encoding", "gzip")
	tab := harness.OpenTab(t, site+"/")
	harness.EventuallyEqual(t, "connections", 1, func() int { return harness.Route{URL: site + "/_sse"}.Connections(t, "u1") })
	tab.Click("button")
	tab.Wait(`document.querySelectorAll('ol li').length === 1`)
	if status, body, _ := harness.Fetch(t, site+"/some/route"); status != http.StatusNotFound || !strings.Contains(body, "no route for /some/route") {
		t.Errorf("GET /some/route: %d %.100q, want the front controller's 404", status, body)
	}
}

func TestSinglePageSite(t *testing.T) {
	t.Parallel()
	port := harness.Port(t)
	site, env := "http://localhost:"+port, "SSE_PUSH_URL=http://localhost:"+port+"/_sse"
	harness.StartCaddy(t, harness.File(t, "examples/php/Caddyfile.spa"), "SITE_ADDRESS="+site,
		"API="+harness.StartPHP(t, 2, "examples/php/publish.php", env))
	checkPush(t, site, "Accept-Encoding", "gzip")
	tab := harness.OpenTab(t, site+"/deep/link")
	harness.EventuallyEqual(t, "connections", 1, func() int { return harness.Route{URL: site + "/_sse"}.Connections(t, "u1") })
	tab.Fill("[name=text]", "hello")
	tab.Click("button")
	tab.Wait(`document.querySelector('ol')?.textContent === 'hello'`)
}
