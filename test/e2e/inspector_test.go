package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

const inspectorToken = "opens the inspector"

// inspected runs a site with an inspector.
func inspected(t *testing.T) (url string) {
	t.Helper()
	return serve(t, inspectorSite)
}

const inspectorSite = `
	sse_push /events {
		user query userId
		topics orders/* public/*
		internal /_sse {
			allow loopback
		}
		inspector /_inspect {
			token "` + inspectorToken + `"
		}
	}`

// openInspector signs in as an operator does.
func openInspector(t *testing.T, url string) *harness.Tab {
	t.Helper()
	tab := harness.OpenTab(t, url+"/_inspect") // without the slash
	tab.Wait(`!document.getElementById('signin').hidden && document.activeElement.name === 'token'`)
	tab.Fill(`#signin [name=token]`, inspectorToken)
	tab.Click(`#signin button`)
	tab.Wait(`document.getElementById('state').dataset.state === 'live'`)
	return tab
}

// textOf is JavaScript for the texts of what a selector finds.
func textOf(selector string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent).join('|')`, selector)
}

// The page asks nobody else for anything, and keeps to its own policy.
func wantKept(t *testing.T, tab *harness.Tab, site string) {
	t.Helper()
	for _, requested := range tab.Requests() {
		if !strings.HasPrefix(requested, site+"/_inspect") {
			t.Errorf("the page has asked for %s", requested)
		}
	}
	if len(tab.Requests()) < 5 {
		t.Errorf("the page has asked for %q alone", tab.Requests())
	}
	for _, line := range append(tab.Console(), tab.Complaints()...) {
		// It asks whether it is signed in, and what a test does wrong is answered.
		if !strings.Contains(line, "401 (Unauthorized)") && !strings.Contains(line, "400 (Bad Request)") {
			t.Errorf("the console has: %s", line)
		}
	}
}

func TestInspector(t *testing.T) {
	t.Parallel()
	site := inspected(t)
	route := harness.Route{URL: site + "/_sse"}

	tab := harness.OpenTab(t, site+"/_inspect/")
	tab.Fill(`#signin [name=token]`, "not the token")
	tab.Click(`#signin button`)
	tab.Wait(`document.getElementById('signin-answer').textContent === 'the token is wrong'`)
	if harness.Eval[bool](tab, `!document.getElementById('app').hidden`) {
		t.Error("the page is open without a token")
	}
	tab.Close()

	tab = openInspector(t, site)
	if cookie := harness.Eval[string](tab, `document.cookie`); cookie != "" {
		t.Errorf("a script can read %s", cookie)
	}
	tab.Wait(`document.getElementById('none').textContent.startsWith('No connections.')`)

	// A client connects, and its name is only text.
	const script = `<script>alert(1)</script>`
	stream := harness.Open(t, site+"/events?"+url.Values{"userId": {script}, "topic": {"orders/<b>"}}.Encode())
	connection := stream.Connected().Connection
	tab.Wait(textOf(`#rows td.name`) + ` === ` + fmt.Sprintf("%q", script))
	tab.Wait(textOf(`#rows td[data-label=Topics]`) + ` === 'orders/<b>'`)
	tab.Wait(`document.querySelector('.figure .now').textContent === '1'`)

	// An event passes.
	route.Publish(t, harness.Event{"user": script, "event": "<i>type</i>", "data": "<img src=x onerror=alert(2)>"})
	tab.Wait(textOf(`#events pre`) + ` === '<img src=x onerror=alert(2)>'`)
	tab.Wait(textOf(`#events .type`) + ` === '<i>type</i>'`)
	tab.Wait(textOf(`#events .target`) + ` === 'user ` + script + `'`)
	if harness.Eval[bool](tab, `!!document.querySelector('#app script, #app img, #app i, #app b')`) {
		t.Error("what a client sent has become a part of the page")
	}
	stream.Next()

	// By hand.
	tab.Fill(`#publish [name=name]`, script)
	tab.Fill(`#publish [name=event]`, "hello")
	tab.Fill(`#publish textarea`, "by hand")
	tab.Click(`#publish button`)
	tab.Wait(`document.getElementById('published').dataset.ok === 'true'`)
	if m := stream.Next(); m.Type != "hello" || m.Data != "by hand" {
		t.Errorf("the client got %+v", m)
	}
	tab.Fill(`#publish [name=event]`, "sse:forged")
	tab.Click(`#publish button`)
	tab.Wait(`document.getElementById('published').dataset.ok === 'false'`)

	// The tail, filtered. What cannot be a filter is told.
	tab.Fill(`#filter [name=topic]`, "orders/**/of")
	tab.Click(`#filter button`)
	tab.Wait(`document.getElementById('filtered').dataset.ok === 'false' && document.getElementById('state').textContent === 'Refused'`)
	tab.Fill(`#filter [name=topic]`, "orders/*")
	tab.Click(`#filter button`)
	tab.Wait(`document.getElementById('state').dataset.state === 'live' && document.getElementById('events').childElementCount === 0`)
	route.Publish(t, harness.Event{"user": script, "data": "to a user"})
	route.Publish(t, harness.Event{"topic": "orders/1", "data": "to a topic"})
	tab.Wait(textOf(`#events pre`) + ` === 'to a topic'`)

	tab.Click(`#pause`)
	route.Publish(t, harness.Event{"topic": "orders/1", "data": "unseen"})
	tab.Wait(`document.getElementById('missed').textContent === '1 passed while this was paused.'`)
	tab.Click(`#pause`)

	// Users and topics, by keyboard.
	tab.Press(`#tab-connections`, kb.ArrowRight)
	tab.Wait(`document.activeElement.id === 'tab-users' && ` + textOf(`#rows td.name`) + ` === '` + script + `'`)
	tab.Press(`#tab-users`, kb.ArrowRight)
	tab.Wait(textOf(`#rows td.name`) + ` === 'orders/<b>'`)
	tab.Click(`#rows button`) // its connections
	tab.Wait(textOf(`#rows td.mono`) + ` === '` + connection + `'`)

	// Kicked, once it is said to be meant.
	tab.Click(`#rows button`)
	tab.Wait(`document.getElementById('confirm').open`)
	tab.Click(`#confirm button[value=no]`)
	tab.Wait(`!document.getElementById('confirm').open`)
	if n := route.Connections(t, ""); n != 1 {
		t.Errorf("%d connections, want the one", n)
	}
	tab.Click(`#rows button`)
	tab.Click(`#confirm button[value=yes]`)
	tab.Wait(`document.getElementById('done').textContent.startsWith('Disconnected connection ` + connection + `')`)
	stream.Ended()
	tab.Wait(`document.getElementById('rows').childElementCount === 0`)
	tab.Wait(`document.activeElement.id === 'clients'`) // the button that had the focus is gone
	wantKept(t, tab, site)

	tab.Click(`#signout`)
	tab.Wait(`!document.getElementById('signin').hidden`)
	tab.Goto(site + "/_inspect/")
	tab.Wait(`!document.getElementById('signin').hidden`)
}

// A page at work.
func TestInspectorLooks(t *testing.T) {
	t.Parallel()
	site := inspected(t)
	route := harness.Route{URL: site + "/_sse"}
	tab := harness.OpenTab(t, site+"/_inspect/")
	tab.Wait(`!document.getElementById('signin').hidden`)
	looks(t, tab, "inspector-signin")
	tab.Fill(`#signin [name=token]`, inspectorToken)
	tab.Click(`#signin button`)
	tab.Wait(`document.getElementById('state').dataset.state === 'live'`)

	for i := range 12 {
		topics := url.Values{"userId": {fmt.Sprintf("user-%d", i/2)}, "topic": {fmt.Sprintf("orders/%d", i), "public/news"}}
		harness.Open(t, site+"/events?"+topics.Encode())
	}
	harness.Open(t, site+"/events?userId="+url.QueryEscape("<script>alert(1)</script>"))
	harness.Open(t, site+"/events?userId="+strings.Repeat("a-very-long-name-", 14))
	for i := range 40 {
		route.Publish(t, harness.Event{"topic": fmt.Sprintf("orders/%d", i%14), "event": "order", "data": map[string]any{"number": i, "state": "packed", "items": []int{1, 2, 3}}})
		route.Publish(t, harness.Event{"broadcast": true, "data": strings.Repeat("long ", i)})
	}
	tab.Wait(`document.getElementById('rows').childElementCount === 14`)
	tab.Wait(`document.getElementById('events').childElementCount === 80`)
	points := `(document.querySelector('.line').getAttribute('d').match(/L/g) ?? []).length`
	tab.Wait(points + ` >= 4`) // what was published is in the charts
	looks(t, tab, "inspector")
	tab.Click(`#rows button`)
	tab.Wait(`document.getElementById('confirm').open`)
	tab.Screenshot("inspector-confirm")
	wantKept(t, tab, site)
}

// A front strips a prefix that Caddy never sees: the session holds all the same.
func TestInspectorBehindStrippedPrefix(t *testing.T) {
	t.Parallel()
	front := harness.StartNginx(t, `server { listen 127.0.0.1:$PORT;
		location /ops/ { proxy_set_header Host $http_host; proxy_buffering off; proxy_pass `+inspected(t)+`/; }
	}`)
	tab := openInspector(t, front+"/ops")
	tab.Goto(front + "/ops/_inspect/")
	tab.Wait(`document.getElementById('state').dataset.state === 'live'`)
	tab.Click(`#signout`)
	tab.Goto(front + "/ops/_inspect/")
	tab.Wait(`!document.getElementById('signin').hidden`)
}

// A browser that keeps no cookies is told so.
func TestInspectorWithoutCookies(t *testing.T) {
	t.Parallel()
	front := harness.StartNginx(t, `server { listen 127.0.0.1:$PORT;
		location / { proxy_set_header Host $http_host; proxy_buffering off; proxy_hide_header Set-Cookie; proxy_pass `+inspected(t)+`; }
	}`)
	tab := harness.OpenTab(t, front+"/_inspect/")
	tab.Fill(`#signin [name=token]`, inspectorToken)
	tab.Click(`#signin button`)
	tab.Wait(`document.getElementById('signin-answer').textContent.startsWith('The token is right, but the browser did not send the session cookie back')`)
}

// Who looks keeps Caddy neither from a reload nor from its end, and is back when it is.
func TestInspectorLetsCaddyGo(t *testing.T) {
	t.Parallel()
	caddyfile, url := site(t, inspectorSite)
	caddy := harness.StartCaddy(t, caddyfile)
	tab := openInspector(t, url)
	caddy.Signal(syscall.SIGTERM)
	caddy.Wait(t)
	tab.Wait(`document.getElementById('state').dataset.state === 'away'`)
	harness.StartCaddy(t, caddyfile)
	tab.Wait(`document.getElementById('state').dataset.state === 'live'`)
}

// Lists stay short, however many there are.
func TestInspectorOfMany(t *testing.T) {
	t.Parallel()
	site := inspected(t)
	route := harness.Route{URL: site + "/_sse"}
	tab := openInspector(t, site)
	for i := range 260 {
		harness.Open(t, fmt.Sprintf("%s/events?userId=user-%d", site, i))
	}
	tab.Wait(`document.getElementById('total').textContent === '200 of 260'`)
	if n := harness.Eval[int](tab, `document.getElementById('rows').childElementCount`); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
	batch := make([]harness.Event, 2_000)
	for i := range batch {
		batch[i] = harness.Event{"user": fmt.Sprintf("user-%d", i%260), "data": fmt.Sprint(i)}
	}
	if status := route.Call(t, http.MethodPost, "/publish", batch, nil); status != http.StatusOK {
		t.Fatalf("got status %d", status)
	}
	tab.Wait(`!document.getElementById('missed').hidden`)
	if n := harness.Eval[int](tab, `document.getElementById('events').childElementCount`); n > 200 {
		t.Errorf("%d events, want 200 at most", n)
	}
	tab.Fill(`#chosen [name=user]`, "user-259")
	tab.Click(`#chosen button`)
	tab.Wait(textOf(`#rows td.name`) + ` === 'user-259'`)
	wantKept(t, tab, site)
}
