package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// event is an event as a library gives it.
type event struct {
	Type, Data, ID string
	Size           int // of the data, which may be cut off
}

// library is a client library, used in one way.
type library struct {
	name   string
	option string // that it is used with; "" for none
	short  bool   // the short form has it
	// open opens a stream, until ctx ends, and calls heard with each event.
	open func(ctx context.Context, t testing.TB, url string, heard func(event)) error
}

// most is enough for the largest event.
const most = 2 << 20

var libraries = []library{
	{"eventsource 2.0.2", "", false, script("node", "clients.mjs", "eventsource-2")},
	{"eventsource 3.0.7", "", true, script("node", "clients.mjs", "eventsource")},
	{"eventsource 4.1.1", "", false, script("node", "clients.mjs", "eventsource-4")},
	{"eventsource 5.1.5 (Node 24)", "", true, script(node24, "clients.mjs", "eventsource-5")},
	{"undici 8.13.1 (Node 24)", "", false, script(node24, "clients.mjs", "undici")},
	{"reconnecting-eventsource 1.6.5", "", false, script("node", "clients.mjs", "reconnecting-eventsource")},
	{"event-source-polyfill 1.0.31", "", false, script("node", "clients.mjs", "event-source-polyfill")},
	{"fetch-event-source 2.0.1", "", false, script("node", "clients.mjs", "fetch-event-source")},
	{"fetch-event-source 2.0.1", "an `onclose` that throws", true, script("node", "clients.mjs", "fetch-event-source+onclose")},
	{"eventsource-client 1.2.0", "", true, script("node", "clients.mjs", "eventsource-client")},
	{"extended-eventsource 2.1.0", "", false, script("node", "clients.mjs", "extended-eventsource")},
	{"launchdarkly-eventsource 2.2.0", "", false, script("node", "clients.mjs", "launchdarkly-eventsource")},
	{"launchdarkly-eventsource 2.2.0", "`readTimeoutMillis: 60_000`", false, script("node", "clients.mjs", "launchdarkly-eventsource+timeout")},
	{"AI SDK 7 `parseJsonEventStream`", "", true, script(node24, "clients.mjs", "ai-sdk")},
	{"htmx 2.0.11, htmx-ext-sse 2.2.4", "", false, inPage("htmx-2")},
	{"htmx 4.0.1, `hx-sse`", "", true, inPage("htmx-4")},
	{"Turbo 8.0.23", "", false, inPage("turbo")},
	{"Go tmaxmax/go-sse 0.11", "", false, withTmaxmax(0)},
	{"Go tmaxmax/go-sse 0.11", "`conn.Buffer(nil, 2<<20)`", true, withTmaxmax(most)},
	{"Go r3labs/sse 2.10", "", false, withR3labs()},
	{"Go r3labs/sse 2.10", "`ClientMaxBufferSize(2<<20)`", false, withR3labs(r3labs.ClientMaxBufferSize(most))},
	{"Go launchdarkly/eventsource 1.11", "", true, withLaunchdarkly},
	{"Go donovanhide/eventsource", "", false, withDonovanhide},
	{"PHP `fopen`", "`'protocol_version' => '1.0'`", true, script("php", "clients.php", "fopen")},
	{"Python httpx", "", false, script("/usr/bin/python3", "clients.py", "httpx")},
	{"Python httpx", "`timeout=None`", true, script("/usr/bin/python3", "clients.py", "httpx+timeout")},
	{"Python aiohttp", "", false, script("/usr/bin/python3", "clients.py", "aiohttp")},
}

// node24 is the Node that some libraries need, from npm.
var node24 = "../node_modules/node-linux-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH] + "/bin/node"

// script returns the open of a library that a program in testdata uses.
func script(interpreter, program, name string) func(context.Context, testing.TB, string, func(event)) error {
	return func(ctx context.Context, t testing.TB, url string, heard func(event)) error {
		cmd := exec.CommandContext(ctx, harness.Program(t, interpreter), filepath.Join("testdata", program), name, url)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				heard(e)
			}
		}
		err = cmd.Wait()
		if ctx.Err() == nil {
			t.Logf("%s ended: %v\n%s", name, err, said.String())
		}
		return nil
	}
}

// inPage returns the open of a library that a page in testdata uses, in Chromium. The page has the origin of the stream.
func inPage(name string) func(context.Context, testing.TB, string, func(event)) error {
	return func(ctx context.Context, t testing.TB, stream string, heard func(event)) error {
		at, err := url.Parse(stream)
		if err != nil {
			return err
		}
		query := url.Values{"library": {name}, "url": {at.RequestURI()}}
		tab := harness.OpenTab(t, "http://"+at.Host+"/pages/clients.html?"+query.Encode())
		for n := 0; ; {
			lines := tab.Console()
			for ; n < len(lines); n++ {
				var text string // a line of the console is a JSON string without its quotes
				var e event
				if json.Unmarshal([]byte(`"`+lines[n]+`"`), &text) == nil && json.Unmarshal([]byte(text), &e) == nil {
					heard(e)
				}
			}
			select {
			case <-ctx.Done():
				tab.Close()
				return nil
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func request(ctx context.Context, url string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
}

func withTmaxmax(buffer int) func(context.Context, testing.TB, string, func(event)) error {
	return func(ctx context.Context, t testing.TB, url string, heard func(event)) error {
		r, err := request(ctx, url)
		if err != nil {
			return err
		}
		conn := tmaxmax.NewConnection(r)
		if buffer > 0 {
			conn.Buffer(nil, buffer)
		}
		conn.SubscribeToAll(func(e tmaxmax.Event) {
			heard(event{Type: e.Type, Data: e.Data, ID: e.LastEventID, Size: len(e.Data)})
		})
		if err := conn.Connect(); ctx.Err() == nil {
			t.Logf("it gave up: %v", err)
		}
		return nil
	}
}

// withR3labs does not wait for the library, which finishes its pauses before it heeds ctx.
func withR3labs(options ...func(*r3labs.Client)) func(context.Context, testing.TB, string, func(event)) error {
	return func(ctx context.Context, t testing.TB, url string, heard func(event)) error {
		over := make(chan error, 1)
		go func() {
			over <- r3labs.NewClient(url, options...).SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
				heard(event{Type: string(e.Event), Data: string(e.Data), ID: string(e.ID), Size: len(e.Data)})
			})
		}()
		select {
		case err := <-over:
			if ctx.Err() == nil {
				t.Logf("it gave up: %v", err)
			}
		case <-ctx.Done():
		}
		return nil
	}
}

func withLaunchdarkly(ctx context.Context, t testing.TB, url string, heard func(event)) error {
	r, err := request(ctx, url)
	if err != nil {
		return err
	}
	s, err := launchdarkly.SubscribeWithRequestAndOptions(r, launchdarkly.StreamOptionErrorHandler(
		func(error) launchdarkly.StreamErrorHandlerResult { return launchdarkly.StreamErrorHandlerResult{} }))
	if err != nil {
		t.Logf("it gave up: %v", err)
		return nil
	}
	defer s.Close()
	for {
		select {
		case e, ok := <-s.Events:
			if !ok {
				return nil
			}
			heard(event{Type: e.Event(), Data: e.Data(), ID: e.Id(), Size: len(e.Data())})
		case <-ctx.Done():
			return nil
		}
	}
}

// withDonovanhide does not close its stream: it would panic if the library is reconnecting then.
func withDonovanhide(ctx context.Context, t testing.TB, url string, heard func(event)) error {
	r, err := request(context.Background(), url)
	if err != nil {
		return err
	}
	s, err := donovanhide.SubscribeWithRequest("", r)
	if err != nil {
		t.Logf("it gave up: %v", err)
		return nil
	}
	go func() {
		for range s.Errors { // to the end of the test's process
		}
	}()
	for {
		select {
		case e := <-s.Events:
			heard(event{Type: e.Event(), Data: e.Data(), ID: e.Id(), Size: len(e.Data())})
		case <-ctx.Done():
			return nil
		}
	}
}
