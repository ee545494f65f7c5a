package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// startWebKit starts WebKitGTK's browser for tests, by its driver, on a screen that nobody sees.
func startWebKit(t testing.TB) *Browser {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/webkit2gtk-4.1/MiniBrowser")
	if len(found) == 0 {
		t.Fatal("MiniBrowser of WebKitGTK is missing; `make test` installs what the tests need")
	}
	dir, port := Dir(t), Port(t)
	cmd := exec.Command(Program(t, "WebKitWebDriver"), "--port="+port)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "XDG_CACHE_HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir,
		"GDK_BACKEND=x11", "DISPLAY=:"+startScreen(t), "NO_AT_BRIDGE=1")
	process := Start(t, "webkit", cmd)
	process.eventually(t, "webkit can be driven", func() bool { return accepts("tcp4", "127.0.0.1:"+port) })
	d := &webDriver{url: "http://127.0.0.1:" + port + "/session"}
	ctx, cancel := context.WithTimeout(context.Background(), 4*Patience)
	defer cancel()
	var session struct{ SessionID string }
	if err := d.call(ctx, http.MethodPost, "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"acceptInsecureCerts":      true, // of Caddy's own root
		"webkitgtk:browserOptions": map[string]any{"binary": found[0], "args": []string{"--automation"}},
	}}}, &session); err != nil {
		t.Fatal(err)
	}
	d.url += "/" + session.SessionID
	if err := d.call(ctx, http.MethodGet, "/window", nil, &d.first); err != nil {
		t.Fatal(err)
	}
	return &Browser{Engine: WebKit, driver: d, running: process.Running}
}

// startScreen starts an X server, and returns the number of its display.
func startScreen(t testing.TB) string {
	t.Helper()
	number, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer number.Close()
	cmd := exec.Command(Program(t, "Xvfb"), "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	process := Start(t, "screen", cmd)
	_ = write.Close()
	t.Cleanup(func() { // it removes its lock if it is asked to end
		process.Signal(syscall.SIGTERM)
		process.Wait(t)
	})
	var display string
	if _, err := fmt.Fscanln(number, &display); err != nil {
		t.Fatalf("starting a screen: %v\n%s", err, process.Output())
	}
	return display
}

// webDriver is a session of WebDriver (https://www.w3.org/TR/webdriver2/). Its commands concern the window that it was last
// switched to.
type webDriver struct {
	url   string
	first string // the window that the browser begins with, and which stays open

	mu sync.Mutex // held from a switch of the window to the end of the command
}

func (d *webDriver) call(ctx context.Context, method, path string, params, into any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("webdriver %s: %s: %w", path, res.Status, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("webdriver %s: %s", path, answer.Value)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, into)
}

func (d *webDriver) switchTo(ctx context.Context, handle string) error {
	return d.call(ctx, http.MethodPost, "/window", map[string]any{"handle": handle}, nil)
}

func (d *webDriver) open(ctx context.Context, p *Page) (pane, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.switchTo(ctx, d.first); err != nil {
		return nil, err
	}
	var created struct{ Handle string }
	err := d.call(ctx, http.MethodPost, "/window/new", map[string]any{"type": "window"}, &created)
	return &webDriverPane{driver: d, handle: created.Handle, page: p}, err
}

// webDriverPane is a window.
type webDriverPane struct {
	driver *webDriver
	handle string
	page   *Page
}

// in does something with the window.
func (p *webDriverPane) in(ctx context.Context, method, path string, params, into any) error {
	p.driver.mu.Lock()
	defer p.driver.mu.Unlock()
	if err := p.driver.switchTo(ctx, p.handle); err != nil {
		return err
	}
	return p.driver.call(ctx, method, path, params, into)
}

func (p *webDriverPane) navigate(ctx context.Context, url string) error {
	return p.in(ctx, http.MethodPost, "/url", map[string]any{"url": url}, nil)
}

// WebDriver does not tell what a page writes to its console, or does not catch. So that is kept by the page, from the first
// evaluation on, and taken with each.
const webKitScript = `
const done = arguments[arguments.length - 1];
if (!window.harnessConsole) {
	const lines = window.harnessConsole = { said: [], uncaught: [] };
	for (const level of ['log', 'info', 'warn', 'error']) {
		const write = console[level];
		console[level] = (...said) => { lines.said.push(said.map(String).join(' ')); write.apply(console, said); };
	}
	addEventListener('error', ({ message }) => lines.uncaught.push(message));
	addEventListener('unhandledrejection', ({ reason }) => lines.uncaught.push(String(reason)));
}
const { said, uncaught } = window.harnessConsole;
(%s).then((value) => ({ value }), (error) => ({ error: String(error) }))
	.then((answer) => done({ ...answer, said: said.splice(0), uncaught: uncaught.splice(0) }));`

func (p *webDriverPane) evaluate(ctx context.Context, expression string) (string, error) {
	var answer struct {
		Value, Error   string
		Said, Uncaught []string
	}
	err := p.in(ctx, http.MethodPost, "/execute/async", map[string]any{"script": fmt.Sprintf(webKitScript, expression), "args": []any{}}, &answer)
	for _, line := range answer.Said {
		p.page.say(line)
	}
	for _, what := range answer.Uncaught {
		p.page.uncaught(what)
	}
	if err == nil && answer.Error != "" {
		return "", errors.New(strings.TrimSpace(answer.Error))
	}
	return answer.Value, err
}

func (p *webDriverPane) close(ctx context.Context) error {
	return p.in(ctx, http.MethodDelete, "/window", nil, nil)
}
