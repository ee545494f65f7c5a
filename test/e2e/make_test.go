package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// What a newcomer does after git clone.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	ports := map[string]string{
		"8080": "the demo", "8081": "the PHP chat", "9001": "its PHP", "9003": "php-fpm", "9004": "php-fpm's status", "9005": "another php-fpm",
		"9006": "its status", "9100": "the stand-in for an app and a model", "2019": "Caddy's admin endpoint",
	}
	for port, what := range ports {
		if !harness.PortIsFree(port) {
			t.Fatalf("something listens on 127.0.0.1:%s, where `make run` has %s: stop it first", port, what)
		}
	}
	// `make test` may be above.
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "MAKE") || strings.HasPrefix(e, "MFLAGS=") })
	harness.BuildCaddy(t)
	build := exec.Command(harness.Program(t, "make"), "build") // apart, as it may take minutes
	build.Dir, build.Env = harness.Root(), env
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	run := exec.Command(harness.Program(t, "make"), "run")
	run.Dir, run.Env = harness.Root(), append(env, "CHAT_DIR="+harness.Dir(t))
	p := harness.Start(t, "make run", run)

	answers := func(url, want string) {
		t.Helper()
		brokertest.Eventually(t, url+" answers", func() bool {
			res, err := harness.Client.Get(url)
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
		checkPage(t, url, want)
		brokertest.Eventually(t, "make run says that there is "+url, func() bool { return strings.Contains(p.Output(), url) })
	}
	answers("http://localhost:8080/", "Live events from Caddy")
	answers("http://localhost:8081/", "<title>Chat</title>")
	answers("http://localhost:8081/loop/", "<title>A PHP loop")
	clock := harness.Open(t, "http://localhost:8081/loop/shared/clock.php")
	if e := clock.Next(); !strings.HasPrefix(e.Data, "The server time is ") {
		t.Errorf("the loop says %q", e)
	}
	answers("http://localhost:8081/tokens/", "<title>Answers of a model")

	profile := harness.NewProfile(t)
	tab := openDemo(t, profile, "http://localhost:8080", "ann")
	publish(tab, "me", "", "hello", "to myself")
	tab.Wait(rows("hello") + ` === 'to myself'`)
	tab.Click("#listen")
	another := openDemo(t, profile, "http://localhost:8080", "ben")
	another.Click("#listen")
	for _, listens := range []*harness.Tab{tab, another} {
		listens.Wait(textOf("#listeners") + ` === '2' && ` + textOf("#streams") + ` === '1'`)
	}
	another.Close()
	tab.Click("#ask .primary")
	tab.Wait(textOf("#tokens") + `.startsWith('I am a stand-in')`)
	tab.Reload()
	tab.Wait(textOf("#relayed") + `.startsWith('complete')`)
	tab.Wait(textOf("#tokens") + `.startsWith('I am a stand-in')`)
	chatter := enter(t, profile, "http://localhost:8081", "cleo") // the hub is one, and ann is there
	say(chatter, "", "hello room")
	chatter.Wait(line("cleo hello room"))
	sees(chatter, "ann", "cleo")
	another = enter(t, harness.NewProfile(t), "http://localhost:8081", "dora")
	sees(chatter, "ann", "cleo", "dora")
	another.Close()
	sees(chatter, "ann", "cleo")

	model := harness.OpenTab(t, "http://localhost:8081/tokens/")
	askModel(model, "anything")
	model.Wait(answerShown + `.startsWith('I am a stand-in')`)

	// With streams open, as Ctrl-C does it.
	p.Signal(syscall.SIGINT)
	p.Wait(t)
	harness.EventuallyEqual(t, "processes that are left", 0, func() int { return len(p.Running()) })
	for port, what := range ports {
		brokertest.Eventually(t, what+" no longer listens", func() bool { return harness.PortIsFree(port) })
	}
}
