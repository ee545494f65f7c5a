package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is one Chromium for all tests of a run; each Profile of it is a stranger to the others.
var browser struct {
	once  sync.Once
	ctx   context.Context
	close context.CancelFunc
	err   error
}

func startBrowser(t testing.TB) context.Context {
	t.Helper()
	program := Program(t, "chromium", "chromium-browser", "google-chrome")
	browser.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(program),
			chromedp.UserDataDir(filepath.Join(workDir, "chromium")),
			chromedp.NoSandbox, // it runs as root in containers, and sees pages of this repository only
			chromedp.DisableGPU,
			chromedp.WSURLReadTimeout(2*Patience),
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("ignore-certificate-errors", true), // of Caddy's own root
			chromedp.Flag("disable-component-update", true),
			// Nothing leaves this machine.
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		)
		allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, closeBrowser := chromedp.NewContext(allocator)
		browser.ctx = ctx
		browser.close = func() {
			closeBrowser()
			closeAllocator()
		}
		browser.err = chromedp.Do(ctx)
	})
	if browser.err != nil {
		t.Fatalf("starting chromium: %v", browser.err)
	}
	return browser.ctx
}

func closeBrowser() {
	if browser.close != nil {
		browser.close()
	}
}

// Profile has its own cookies, storage and connections, as another machine's browser would.
type Profile struct {
	ctx context.Context
}

// NewProfile opens a profile until the test ends.
func NewProfile(t testing.TB) *Profile {
	t.Helper()
	ctx, leave := chromedp.NewContext(startBrowser(t), chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a profile: %v", err)
	}
	t.Cleanup(leave)
	return &Profile{ctx: ctx}
}

// Tab is a page that is open.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex // guards what follows
	console    []string
	complaints []string
	requests   []string
}

// OpenTab opens a URL in a new tab, and waits until it is loaded. An exception that the page does not catch fails the test.
func (p *Profile) OpenTab(t testing.TB, url string) *Tab {
	t.Helper()
	id := chromedp.FromContext(p.ctx).BrowserContextID
	ctx, leave := chromedp.NewContext(p.ctx, chromedp.WithExistingBrowserContext(id))
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tab.report()
		}
		leave()
	})
	tab.do(chromedp.EmulateViewport(1280, 900))
	tab.Goto(url)
	return tab
}

// OpenTab opens a URL in a profile of its own.
func OpenTab(t testing.TB, url string) *Tab {
	t.Helper()
	return NewProfile(t).OpenTab(t, url)
}

func (tab *Tab) listen(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		what := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			what += " " + e.Description
		}
		tab.t.Errorf("the page did not catch: %s", what)
	case *runtime.EventConsoleAPICalled:
		var said []string
		for _, arg := range ev.Args {
			said = append(said, strings.Trim(string(arg.Value), `"`))
		}
		tab.say(strings.Join(said, " "))
	case *log.EventEntryAdded:
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.complaints = append(tab.complaints, ev.Entry.Text)
	case *network.EventRequestWillBeSent:
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.requests = append(tab.requests, ev.Request.URL)
	}
}

func (tab *Tab) say(line string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.console = append(tab.console, line)
}

// Requests are the URLs that the page, or the browser for it, has asked for.
func (tab *Tab) Requests() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.requests)
}

// Complaints are what the browser has to say of the page, such as that it breaks its own policy.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.complaints)
}

// Console is what the page has written to its console, a line for each call.
func (tab *Tab) Console() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.console)
}

func (tab *Tab) report() {
	text, err := eval[string](tab, `location.href + '\n' + document.body.innerText`)
	tab.t.Logf("the tab shows (%v):\n%s\nits console:\n%s", err, text, strings.Join(append(tab.Console(), tab.Complaints()...), "\n"))
}

func (tab *Tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.t.Fatal(err)
	}
}

// Look sets how wide and high the page is seen, in pixels, and whether its reader prefers it dark.
func (tab *Tab) Look(width, height int64, dark bool) {
	tab.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	tab.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// Freeze stops a page, as a browser does with one that nobody has looked at for long, or lets it go on.
func (tab *Tab) Freeze(frozen bool) {
	tab.t.Helper()
	state := page.SetWebLifecycleStateStateActive
	if frozen {
		state = page.SetWebLifecycleStateStateFrozen
	}
	tab.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		return err
	}))
}

// Goto loads a URL.
func (tab *Tab) Goto(url string) {
	tab.t.Helper()
	tab.do(chromedp.Navigate(url))
}

// Close closes the tab, as its user would.
func (tab *Tab) Close() {
	tab.t.Helper()
	if err := chromedp.Cancel(tab.ctx); err != nil && !errors.Is(err, context.Canceled) {
		tab.t.Fatalf("closing a tab: %v", err)
	}
}

// Click clicks on what a CSS selector finds first.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do(chromedp.Click(chromedp.CSS(selector)))
}

// Fill types a text in place of what stands in a field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	Eval[bool](tab, fmt.Sprintf(`(document.querySelector(%q).select(), true)`, selector))
	tab.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Press presses keys, such as kb.ArrowRight, on what a CSS selector finds first.
func (tab *Tab) Press(selector, keys string) {
	tab.t.Helper()
	tab.do(chromedp.SendKeys(chromedp.CSS(selector), keys))
}

// Wait waits until a JavaScript expression is true in the page. What it throws counts as no: the page may be just loading.
func (tab *Tab) Wait(expression string) {
	tab.t.Helper()
	var err error
	deadline := time.After(2 * Patience)
	// Less often than brokertest.Until looks: each look costs the browser more than the pause.
	for pause := 4 * time.Millisecond; ; pause = min(pause+pause/2, 100*time.Millisecond) {
		var ok bool
		if ok, err = eval[bool](tab, "!!("+expression+")"); ok && err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-deadline:
			tab.t.Fatalf("waited in vain for the page: %s (%v)", expression, err)
		}
	}
}

// Eval returns the value of a JavaScript expression; of a promise, what it comes to.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := eval[T](tab, expression)
	if err != nil {
		tab.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func eval[T any](tab *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Screenshot keeps a picture of the page in the folder that TEST_ARTIFACTS names, if it does.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	dir := os.Getenv("TEST_ARTIFACTS")
	if dir == "" {
		return
	}
	tab.Wait(`document.getAnimations().length === 0`)
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		tab.t.Fatalf("screenshot %s: %v", name, err)
	}
}
