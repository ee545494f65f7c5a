package harness

import (
	"context"
	"slices"
	"syscall"
	"testing"
)

// Engine is a browser engine.
type Engine string

// The engines that tests run in.
const (
	Chromium Engine = "chromium"
	Firefox  Engine = "firefox"
	WebKit   Engine = "webkit"
)

// Engines are all of them.
var Engines = []Engine{Chromium, Firefox, WebKit}

// Browser has cookies, storage and connections that no other Browser has.
type Browser struct {
	Engine Engine

	driver  driver
	running func() []int // its processes; nil if it shares them
}

// driver opens tabs.
type driver interface {
	open(ctx context.Context, p *Page) (pane, error) // an empty page, which writes to p's console
}

// Open opens a URL in a window of its own, where it is visible, and waits until it is loaded. An exception that the page does not
// catch fails the test.
func (b *Browser) Open(t testing.TB, url string) *Page {
	t.Helper()
	p := &Page{t: t}
	p.do("opening a page in "+string(b.Engine), func(ctx context.Context) (err error) {
		p.pane, err = b.driver.open(ctx, p)
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			p.report()
		}
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		_ = p.pane.close(ctx) // unless the test has closed it, or killed the browser
	})
	p.Goto(url)
	return p
}

// Pause stops all processes of the browser, as a computer that sleeps does, or lets them go on.
func (b *Browser) Pause(paused bool) {
	signal := syscall.SIGCONT
	if paused {
		signal = syscall.SIGSTOP
	}
	b.signal(signal)
}

// Kill ends the browser as a crash does.
func (b *Browser) Kill() { b.signal(syscall.SIGKILL) }

func (b *Browser) signal(s syscall.Signal) {
	if b.running == nil {
		panic("StartBrowser is for tests that pause or kill a browser")
	}
	pids := b.running()
	slices.Sort(pids) // a parent notices the end of its child, and would start another
	for _, pid := range pids {
		_ = syscall.Kill(pid, s)
	}
}
