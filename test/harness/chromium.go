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
	once sync.Once
	ctx  context.Context
	err  error
}

// startBrowser prefers the Chromium that draws no windows: it takes half the processor time, which other tests need.
func startBrowser(t testing.TB) context.Context {
	t.Helper()
	program := Program(t, "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
	browser.once.Do(func() {
		var end context.CancelFunc
		browser.ctx, end, browser.err = launchChromium(program, filepath.Join(workDir, "chromium"))
		atEnd(end)
	})
	if browser.err != nil {
		t.Fatalf("starting chromium: %v", browser.err)
	}
	return browser.ctx
}

func chromiumProgram(t testing.TB) string {
	t.Helper()
	return Program(t, "chromium", "chromium-browser", "google-chrome")
}

func launchChromium(program, dir string, env ...string) (ctx context.Context, closeAll context.CancelFunc, err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(dir),
		chromedp.Env(env...),
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
	return ctx, func() {
		closeBrowser()
		closeAllocator()
	}, chromedp.Do(ctx)
}

// startChromium starts a Chromium that no other test has.
func startChromium(t testing.TB) *Browser {
	t.Helper()
	mark := newMark()
	ctx, leave, err := launchChromium(chromiumProgram(t), Dir(t), mark)
	t.Cleanup(leave)
	if err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	return &Browser{Engine: Chromium, driver: &Profile{ctx: ctx}, running: func() []int { return marked(mark) }}
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

// Tab is a page in Chromium, of which Chromium can tell and do more than of a Page.
type Tab struct {
	*Page
	ctx context.Context

	mu         sync.Mutex // guards what follows
	complaints []string
	requests   []string
}

// chromiumPane is the context of a tab.
type chromiumPane struct{ ctx context.Context }

func (c chromiumPane) evaluate(ctx context.Context, script string) (string, error) {
	ctx, cancel := c.until(ctx)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
}

func (c chromiumPane) navigate(ctx context.Context, url string) error {
	ctx, cancel := c.until(ctx)
	defer cancel()
	return chromedp.Do(ctx, chromedp.Navigate(url))
}

func (c chromiumPane) close(context.Context) error {
	if err := chromedp.Cancel(c.ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// until returns the tab's context with the deadline of another.
func (c chromiumPane) until(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	return context.WithDeadline(c.ctx, deadline)
}

// OpenTab opens a URL in a new tab, and waits until it is loaded. An exception that the page does not catch fails the test.
func (p *Profile) OpenTab(t testing.TB, url string) *Tab {
	t.Helper()
	tab, err := p.newTab(&Page{t: t})
	if err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tab.report()
		}
		_ = chromedp.Cancel(tab.ctx)
	})
	tab.Goto(url)
	return tab
}

func (p *Profile) newTab(page *Page) (*Tab, error) {
	// The tab ends with its profile.
	ctx, _ := chromedp.NewContext(p.ctx, chromedp.WithExistingBrowserContext(chromedp.FromContext(p.ctx).BrowserContextID))
	page.pane = chromiumPane{ctx}
	tab := &Tab{Page: page, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		return nil, err
	}
	return tab, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900))
}

func (p *Profile) open(_ context.Context, page *Page) (pane, error) {
	tab, err := p.newTab(page)
	if err != nil {
		return nil, err
	}
	return tab.pane, nil
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
		tab.uncaught(what)
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

func (tab *Tab) report() {
	tab.Page.report()
	tab.t.Logf("complaints:\n%s", strings.Join(tab.Complaints(), "\n"))
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
