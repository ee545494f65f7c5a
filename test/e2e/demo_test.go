package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// demo runs Caddyfile.example on another port, and returns the page's URL.
func demo(t *testing.T) string {
	t.Helper()
	return "http://" + example(t)
}

// rows is JavaScript for the data of the demo's events of a type, newest first.
func rows(kind string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#events li[data-type=%q] pre')].map(e => e.textContent).join('|')`, kind)
}

func openDemo(t *testing.T, profile *harness.Profile, url, user string) *harness.Tab {
	t.Helper()
	tab := profile.OpenTab(t, url+"/?user="+user)
	tab.Wait(`document.getElementById('state').dataset.state === 'open'`)
	return tab
}

func publish(tab *harness.Tab, to, other, event, data string) {
	tab.Click(`[name=to][value=` + to + `]`)
	if other != "" {
		tab.Fill(`[name=other]`, other)
	}
	tab.Fill(`[name=event]`, event)
	tab.Fill(`[name=data]`, data)
	tab.Click(`#publish button`)
	tab.Wait(`document.getElementById('answer').dataset.ok === 'true'`)
}

func TestDemoPublishes(t *testing.T) {
	t.Parallel()
	url := demo(t)
	profile := harness.NewProfile(t)
	ann, ben := openDemo(t, profile, url, "ann"), openDemo(t, profile, url, "ben")

	if got := harness.Eval[string](ann, `document.getElementById('connection').textContent`); len(got) != 22 {
		t.Errorf("the page shows the connection %q", got)
	}
	publish(ann, "me", "", "hello", "to myself")
	ann.Wait(rows("hello") + ` === 'to myself'`)
	publish(ann, "user", "ben", "hello", "to ben")
	ben.Wait(rows("hello") + ` === 'to ben'`)
	publish(ann, "all", "", "hello", "to all")
	ann.Wait(rows("hello") + ` === 'to all|to myself'`)
	ben.Wait(rows("hello") + ` === 'to all|to ben'`)

	// A name that no page knew of. The tabs tell each other, but not always before the first such event.
	publish(ben, "me", "", "surprise", "new name")
	ben.Wait(rows("surprise") + ` === 'new name'`)
	ann.Wait(`document.getElementById('listening').textContent.includes('surprise')`)
	publish(ben, "all", "", "surprise", "known name")
	ann.Wait(rows("surprise") + ` === 'known name'`)
	harness.Eval[bool](ann, `document.querySelectorAll('details').forEach((same) => { same.open = true }), true`)
	looks(t, ann, "demo")
}

func TestDemoShowsAnError(t *testing.T) {
	t.Parallel()
	tab := openDemo(t, harness.NewProfile(t), demo(t), "ann")
	tab.Fill(`[name=event]`, "sse:forged")
	tab.Click(`#publish button`)
	tab.Wait(`document.getElementById('answer').dataset.ok === 'false'`)
	if got := harness.Eval[string](tab, `document.getElementById('answer').textContent`); !strings.HasPrefix(got, "400") {
		t.Errorf("the page says %q", got)
	}
	tab.Screenshot("demo-error")
}

func TestDemoResumes(t *testing.T) {
	t.Parallel()
	url := demo(t)
	tab := openDemo(t, harness.NewProfile(t), url, "ann")
	publish(tab, "me", "", "hello", "before")
	tab.Wait(rows("hello") + ` === 'before'`)
	before := harness.Eval[string](tab, `document.getElementById('connection').textContent`)

	tab.Click("#drop")
	tab.Wait(`document.getElementById('state').dataset.state === 'dropped'`)
	tab.Screenshot("demo-dropped")
	tab.Wait(`document.getElementById('state').dataset.state === 'open'`)
	tab.Wait(`document.querySelectorAll('#events li[data-type=missed]').length >= 3`)
	if got := harness.Eval[string](tab, `document.getElementById('connection').textContent`); got == before {
		t.Error("the connection is the one that was dropped")
	}

	publish(tab, "me", "", "hello", "after") // what comes twice, or too late, would be there by then
	tab.Wait(rows("hello") + ` === 'after|before'`)
	got := harness.Eval[string](tab, `[...document.querySelectorAll('#events li[data-type=hello], #events li[data-type=missed]')].reverse()
		.map(e => e.querySelector('pre').textContent.split(' ')[0]).join(' ')`)
	if want := "before 1 2 3 after"; got != want {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	if got := harness.Eval[string](tab, `[...document.querySelectorAll('#events li[data-resumed=true] pre')].map(e => e.textContent[0]).join('')`); !strings.HasSuffix(got, "321") {
		t.Errorf("marked as resumed are %q, want 321", got)
	}
	if harness.Eval[bool](tab, `'resumed' in [...document.querySelectorAll('#events li[data-type=hello]')].at(-1).dataset`) {
		t.Error("what came before the drop is marked as resumed")
	}
	if n := harness.Eval[int](tab, `document.querySelectorAll('#events li[data-type="sse:gap"]').length`); n > 0 {
		t.Errorf("the page shows %d gaps, want none", n)
	}
	tab.Screenshot("demo-resumed")
}

// A stream that the server ends says so, and the page is back.
func TestDemoShowsAnEnd(t *testing.T) {
	t.Parallel()
	url := demo(t)
	tab := openDemo(t, harness.NewProfile(t), url, "ann")
	route := harness.Route{URL: url + "/_sse"}
	if status := route.Call(t, "DELETE", "/users/ann", nil, nil); status != 204 {
		t.Fatalf("status %d", status)
	}
	tab.Wait(rows("sse:closing") + ` === '{"reason":"disconnected"}'`)
	tab.Wait(`document.querySelectorAll('#events li[data-type="sse:connected"]').length === 2`)
	if got := harness.Eval[string](tab, `document.querySelector('#events li[data-type="sse:closing"]').innerText`); !strings.Contains(got, "comes back by itself") {
		t.Errorf("the page says %q", got)
	}
	tab.Screenshot("demo-end")
}

// A tab that is closed is gone at once, and one that navigates away as well.
func TestDemoLeaves(t *testing.T) {
	t.Parallel()
	url := demo(t)
	route := harness.Route{URL: url + "/_sse"}
	profile := harness.NewProfile(t)
	ann, ben := openDemo(t, profile, url, "ann"), openDemo(t, profile, url, "ben")
	harness.EventuallyEqual(t, "connections", 2, func() int { return route.Connections(t, "") })
	ann.Close()
	harness.EventuallyEqual(t, "connections", 1, func() int { return route.Connections(t, "") })
	ben.Goto("about:blank")
	harness.EventuallyEqual(t, "connections", 0, func() int { return route.Connections(t, "") })
}
