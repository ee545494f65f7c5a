package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

// reloading is a page that asks for an answer, is reloaded in the middle, and comes again when the answer is over.
const reloading = `
import { transport } from './transport.mjs';

const read = async (parts, most = Infinity) => {
	let text = '';
	for await (const part of parts) {
		text += part.choices[0]?.delta.content ?? '';
		if (text.length >= most) break;
	}
	return text;
};
const page = new AbortController();
const before = await read(await transport.sendMessages({ chatId: '7', messages: [], abortSignal: page.signal }), 20);
page.abort();
const whole = await read(await transport.reconnectToStream({ chatId: '7' }));
console.log(JSON.stringify({ before, whole, after: await transport.reconnectToStream({ chatId: '7' }) }));
`

// The transport of docs/reference/relays.md has an answer go on over a reload of its page, which then has the whole of it. The model is asked
// once.
func TestTransportOfTheDocs(t *testing.T) {
	t.Parallel()
	const tokens = 40
	api := modelapi.Start(t, modelapi.Answer{Tokens: tokens, Rate: tokens / 20.}) // the page comes back well before its end, on a slow machine as well
	var route harness.Route
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if status := route.Call(t, http.MethodPost, "/relays", map[string]any{
				"id": "chat-7-1", "topic": "room", "request": map[string]any{"url": api.URL + "/v1/chat/completions", "body": map[string]any{"stream": true}},
			}, nil); status != http.StatusAccepted {
				t.Errorf("starting a relay: %d", status)
			}
		}
		_, _ = fmt.Fprint(w, `{"id": "chat-7-1"}`)
	}))
	t.Cleanup(app.Close)
	url := serve(t, `
	sse_push /events {
		anonymous
		topics room
		internal /_sse {
			allow loopback
		}
		relay {
			to `+api.URL+` private
		}
	}
	reverse_proxy `+strings.TrimPrefix(app.URL, "http://"))
	route.URL = url + "/_sse"

	dir, transport := harness.Dir(t), the(t, "docs/reference/relays.md", "js", "reconnectToStream")
	harness.WriteFile(t, dir, "transport.mjs", harness.Replace(t, transport.String(), transport.text, "fetch(url, init)", "fetch('"+url+"' + url, init)"))
	page := harness.WriteFile(t, dir, "page.mjs", reloading)
	if err := os.Symlink(filepath.Join(harness.Root(), "test", "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Program(t, "node"), page)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &problems)
	}
	var got struct {
		Before, Whole string
		After         any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if got.Before == "" || got.Before == got.Whole || !strings.HasPrefix(got.Whole, got.Before) || got.Whole != modelapi.Text(tokens) || got.After != nil {
		t.Errorf("got %+v", got)
	}
	if n := api.Counts().Requests; n != 1 {
		t.Errorf("the model was asked %d times", n)
	}
}
