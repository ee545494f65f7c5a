package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Page is a page that is open, in whichever browser.
type Page struct {
	t    testing.TB
	pane pane

	mu      sync.Mutex // guards what follows
	console []string
	left    int // history entries that Go and Reload have left
}

// pane is what a browser can do with a page.
type pane interface {
	navigate(ctx context.Context, url string) error // until it is loaded
	// evaluate returns the string that a JavaScript expression promises.
	evaluate(ctx context.Context, expression string) (string, error)
	close(ctx context.Context) error
}

func (p *Page) do(what string, fn func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*Patience) // a new window is a new process, which a busy machine takes long to start
	defer cancel()
	if err := fn(ctx); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// Goto loads a URL.
func (p *Page) Goto(url string) {
	p.t.Helper()
	p.do("loading "+url, func(ctx context.Context) error { return p.pane.navigate(ctx, url) })
}

// Close closes the page's tab, as its user would.
func (p *Page) Close() {
	p.t.Helper()
	p.do("closing a tab", p.pane.close)
}

// Go goes back (-1) or forward (1) in the tab's history, and returns once the other page is there.
func (p *Page) Go(delta int) {
	p.t.Helper()
	p.leave(fmt.Sprintf("history.go(%d)", delta))
}

// Reload loads the page again, and returns once the new one is there.
func (p *Page) Reload() {
	p.t.Helper()
	p.leave("location.reload()")
}

func (p *Page) leave(how string) {
	p.t.Helper()
	p.mu.Lock()
	p.left++
	mark := p.left
	p.mu.Unlock()
	Eval[bool](p, fmt.Sprintf("window.harnessLeft = %d, setTimeout(() => %s), true", mark, how))
	// A page that comes back from the back/forward cache has an older mark.
	p.Wait(fmt.Sprintf("window.harnessLeft !== %d && document.readyState === 'complete'", mark))
}

// Console is what the page has written to its console, a line for each call.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.console)
}

func (p *Page) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.console = append(p.console, line)
}

func (p *Page) uncaught(what string) {
	p.t.Errorf("the page did not catch: %s", what)
}

func (p *Page) report() {
	text, err := eval[string](p, `location.href + '\n' + document.body.innerText`)
	p.t.Logf("the tab shows (%v):\n%s\nits console:\n%s", err, text, strings.Join(p.Console(), "\n"))
}

// Wait waits until a JavaScript expression is true in the page. What it throws counts as no: the page may be just loading.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	var err error
	deadline := time.After(4 * Patience)
	// Less often than brokertest.Until looks: each look costs the browser more than the pause.
	for pause := 4 * time.Millisecond; ; pause = min(pause+pause/2, 100*time.Millisecond) {
		var value string
		// Some browsers never answer a look at a page that is just being left.
		if value, err = p.evaluateWithin(Patience, "!!("+expression+")"); value == "true" && err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-deadline:
			p.t.Fatalf("waited in vain for the page: %s (%v)", expression, err)
		}
	}
}

// evaluator is a Page, or what embeds one.
type evaluator interface {
	evaluate(expression string) (string, error)
	test() testing.TB
}

func (p *Page) test() testing.TB { return p.t }

// evaluate returns the JSON of an expression's value.
func (p *Page) evaluate(expression string) (string, error) {
	return p.evaluateWithin(2*Patience, expression)
}

func (p *Page) evaluateWithin(limit time.Duration, expression string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return p.pane.evaluate(ctx, "(async () => JSON.stringify(await ("+expression+")) ?? 'null')()")
}

// Eval returns the value of a JavaScript expression; of a promise, what it comes to.
func Eval[T any](page evaluator, expression string) T {
	page.test().Helper()
	value, err := eval[T](page, expression)
	if err != nil {
		page.test().Fatalf("%s: %v", expression, err)
	}
	return value
}

func eval[T any](page evaluator, expression string) (value T, err error) {
	text, err := page.evaluate(expression)
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal([]byte(text), &value)
}
