package sitetest_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// commandHelp is what a command says of itself.
type commandHelp struct {
	name     string // without "caddy "
	text     string
	examples []string
}

// caddyFooter is what Caddy puts under every command's help.
const caddyFooter = "\nFull documentation is available at:\nhttps://caddyserver.com/docs/command-line\n"

// help asks a command, and those below it, what they do.
func (o *operator) help(name string) (all []commandHelp) {
	o.t.Helper()
	got := o.start(exec.Command("/bin/sh", "-c", `exec caddy `+name+` --help`), nil).wait()
	text, ok := strings.CutSuffix(got.out, caddyFooter)
	if got.code != 0 || !ok {
		o.t.Fatalf("%s --help: %+v", name, got)
	}
	h := commandHelp{name: name, text: strings.TrimSpace(text)}
	if _, rest, ok := strings.Cut(h.text, "\nExamples:\n"); ok {
		block, _, _ := strings.Cut(rest, "\n\n")
		for line := range strings.Lines(block) {
			h.examples = append(h.examples, strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		}
	}
	all = append(all, h)
	if _, rest, ok := strings.Cut(h.text, "\nAvailable Commands:\n"); ok {
		block, _, _ := strings.Cut(rest, "\n\n")
		for line := range strings.Lines(block) {
			all = append(all, o.help(name+" "+strings.Fields(line)[0])...)
		}
	}
	return all
}

var updateDocs = flag.Bool("update", false, "rewrite docs/reference/commands.md")

const commandsPage = "docs/reference/commands.md"

const commandsIntro = `# Commands

This is what the commands print with ` + "`--help`" + `. A test keeps this page up to date, and runs every example.

Commands that talk to a hub use [Caddy's admin endpoint](https://caddyserver.com/docs/api), which listens on ` + "`localhost:2019`" + ` unless the
config says otherwise. It has no password: anyone who can reach it can do all of this, and more. Programs can make the same calls:
below ` + "`/sse_push/hubs/<hub>/`" + ` stand the calls of the internal route, with the same bodies, answers and errors. In addition there are

| call | answer |
|---|---|
| ` + "`GET /sse_push/hubs`, `GET /sse_push/hubs/<hub>`" + ` | the states and counters of the hubs |
| ` + "`GET …/tail?user=&topic=&event=&text=&after=&limit=`" + ` | ` + "`{\"events\", \"next\", \"gap\"}`" + `: what was delivered after ` + "`after`" + `, at most 500 events; ` + "`gap`" + ` says that some before these are missing. Waits up to 20 s for the first event; without ` + "`after`" + `, only returns where to begin |
| ` + "`GET …/explain?who=&event=`" + ` | ` + "`{\"verdict\", \"detail\", \"event\", \"counts\", \"connections\"}`" + `; ` + "`who`" + ` is a user or a connection |

` + "`explain`" + ` looks at what this node remembers: the events in the history, the open connections, and the last few thousand that have
ended (1 MiB of them for each core). "Sent" means that the event was written to the client's connection.

A list has ` + "`next`" + ` if there is more: call again with ` + "`after=<next>`" + `.
`

// The page says what the commands say.
func TestCommandDocs(t *testing.T) {
	o := operate(t, "localhost:1")
	var page strings.Builder
	page.WriteString(commandsIntro)
	for _, h := range o.help("sse-push") {
		fmt.Fprintf(&page, "\n## caddy %s\n\n```text\n%s\n```\n", h.name, h.text)
		if strings.ContainsAny(h.text, "\t\x1b") {
			t.Errorf("the help of %s holds tabs or escapes", h.name)
		}
		if !strings.Contains(h.text, "Available Commands") && len(h.examples) == 0 {
			t.Errorf("%s has no example", h.name)
		}
	}
	if *updateDocs {
		if err := os.WriteFile(sitetest.Repo(commandsPage), []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(sitetest.Repo(commandsPage))
	if err != nil || string(written) != page.String() {
		t.Errorf("%s is not what the commands say (%v): go test -run TestCommandDocs ./internal/sitetest -update", commandsPage, err)
	}
}

var (
	exampleEvent      = regexp.MustCompile(`\b2v5oocjd\.7\b`)
	exampleConnection = regexp.MustCompile(`\b4fzzzhjFvcUxzS1cCLP0hg\b`)
)

// Every example runs as it is printed, save for addresses and ids. Those of the doctor have a test of their own.
func TestCommandExamples(t *testing.T) {
	app, model := sitetest.NewStreamer(t), sitetest.StartModel(t)
	s, o := operated(t, `sse_push /events {
		hub main
		user query userId
		anonymous
		topics orders/*
		internal /_sse {
			allow loopback
		}
		`+model.RelayTo("")+`
	}
	sse_push /clock {
		hub main
		anonymous
		source {
			share everyone
		}
	}
	reverse_proxy `+app.Address)
	<-opening(s, "/clock") // a source, which the commands list
	startRelay(s, model, "chat-7-41", "")
	model.Next().Answer(500, "text/plain").End()
	startRelay(s, model, "chat-7-42", "")
	brokertest.Eventually(t, "one relay has failed", func() bool { return relayOf(s, "chat-7-41").Status == "failed" })
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // for examples that wait for events
		defer close(stopped)
		for {
			for _, target := range []string{`{"user": "u1", "data": "order 7 has shipped"}`, `{"topic": "orders/42", "data": "paid"}`} {
				resp, err := http.Post(s.URL+"/_sse/publish", "application/json", strings.NewReader(target))
				if err == nil {
					resp.Body.Close()
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		http.DefaultClient.CloseIdleConnections()
	})
	ran := 0
	for _, h := range o.help("sse-push") {
		if strings.HasPrefix(h.name, "sse-push doctor") {
			continue
		}
		for _, example := range h.examples {
			c, u1 := s.Open("/events?userId=u2"), s.Open("/events?userId=u1&topic=orders/42")
			line := strings.ReplaceAll(example, "http://localhost:8080", s.URL)
			line = exampleEvent.ReplaceAllString(line, s.Publish("user", "u2", "data", "x"))
			line = exampleConnection.ReplaceAllString(line, c.Connected.Connection)
			if !strings.Contains(line, "caddy "+h.name) {
				t.Errorf("%q is no example of %s", example, h.name)
			}
			got := o.start(exec.Command("/bin/sh", "-c", line), nil).wait()
			silent := h.name == "sse-push kick" || strings.HasSuffix(line, " --stop")
			if got.code != 0 || got.out == "" && !silent {
				t.Errorf("%q: got %+v", line, got)
			}
			c.Close()
			u1.Close()
			ran++
		}
	}
	if ran < 15 {
		t.Errorf("%d examples have run", ran)
	}
}
