package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Nothing leaves this machine: what is not localhost goes to a proxy that is not there.
const firefoxPrefs = `user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
`

// firefox is one Firefox for all tests of a run that need no browser of their own.
var firefox struct {
	once sync.Once
	bidi *bidi
	err  error
}

func sharedFirefox(t testing.TB) *bidi {
	t.Helper()
	program := firefoxProgram(t)
	firefox.once.Do(func() {
		firefox.bidi, firefox.err = launchFirefox(program, filepath.Join(workDir, "firefox"), newMark())
	})
	if firefox.err != nil {
		t.Fatal(firefox.err)
	}
	return firefox.bidi
}

func firefoxProgram(t testing.TB) string {
	t.Helper()
	return Program(t, "firefox-esr", "firefox")
}

// startFirefox starts a Firefox that no other test has.
func startFirefox(t testing.TB) *Browser {
	t.Helper()
	mark := newMark()
	b, err := launchFirefox(firefoxProgram(t), Dir(t), mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return &Browser{Engine: Firefox, driver: bidiProfile{bidi: b}, running: func() []int { return marked(mark) }}
}

// firefoxProfile returns a profile of the Firefox that tests share.
func firefoxProfile(t testing.TB) *Browser {
	t.Helper()
	b := sharedFirefox(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*Patience)
	defer cancel()
	var created struct{ UserContext string }
	if err := b.call(ctx, "browser.createUserContext", map[string]any{}, &created); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 4*Patience)
		defer cancel()
		if err := b.call(ctx, "browser.removeUserContext", map[string]any{"userContext": created.UserContext}, nil); err != nil {
			t.Error(err)
		}
	})
	return &Browser{Engine: Firefox, driver: bidiProfile{b, created.UserContext}}
}

// launchFirefox starts a Firefox, which speaks WebDriver BiDi by itself.
func launchFirefox(program, dir, mark string) (*bidi, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "user.js"), []byte(firefoxPrefs), 0o644)); err != nil {
		return nil, err
	}
	var said output
	cmd := exec.Command(program, "--headless", "--no-remote", "--profile", dir, "--remote-debugging-port=0")
	cmd.Env = append(os.Environ(), "HOME="+dir, mark)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end := func() {
		for _, pid := range marked(mark) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = cmd.Wait() // it was killed
	}
	var at struct {
		Host string `json:"ws_host"`
		Port int    `json:"ws_port"`
	}
	if !brokertest.Until(func() bool {
		content, err := os.ReadFile(filepath.Join(dir, "WebDriverBiDiServer.json"))
		return err == nil && json.Unmarshal(content, &at) == nil
	}) {
		end()
		return nil, fmt.Errorf("firefox cannot be driven: %s", said.String())
	}
	b, err := dialBiDi(fmt.Sprintf("ws://%s:%d/session", at.Host, at.Port), end)
	if err != nil {
		end()
		return nil, fmt.Errorf("connecting to firefox: %w", err)
	}
	return b, nil
}

// bidi is a connection of WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).
type bidi struct {
	conn *websocket.Conn
	end  func() // ends the browser

	mu      sync.Mutex // guards what follows
	last    int
	answers map[int]chan bidiMessage // by the call's number
	pages   map[string]*Page         // by browsing context
}

// exception tells what a page did not catch from what Firefox has to say of its requests, which it logs in the same way.
var exception = regexp.MustCompile(`^(\w*(Error|Exception)\b|uncaught exception)`)

// bidiMessage is an answer or an event.
type bidiMessage struct {
	Type    string
	ID      int
	Result  json.RawMessage
	Error   string
	Message string
	Params  struct {
		Type, Level, Text string
		Source            struct{ Context string }
	}
}

func dialBiDi(url string, end func()) (*bidi, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*Patience) // it answers once its first window is there
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	b := &bidi{conn: conn, end: end, answers: map[int]chan bidiMessage{}, pages: map[string]*Page{}}
	go b.listen()
	always := map[string]any{"acceptInsecureCerts": true} // of Caddy's own root
	return b, errors.Join(
		b.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{"alwaysMatch": always}}, nil),
		b.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil))
}

func (b *bidi) close() {
	_ = b.conn.CloseNow()
	b.end()
}

func (b *bidi) listen() {
	for {
		var m bidiMessage
		if err := wsjson.Read(context.Background(), b.conn, &m); err != nil {
			return
		}
		b.mu.Lock()
		answer, page := b.answers[m.ID], b.pages[m.Params.Source.Context]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		switch {
		case m.Type != "event" && answer != nil:
			answer <- m
		case page == nil:
		case m.Params.Type == "javascript" && exception.MatchString(m.Params.Text):
			page.uncaught(m.Params.Text)
		default:
			page.say(m.Params.Text)
		}
	}
}

func (b *bidi) call(ctx context.Context, method string, params, into any) error {
	answer := make(chan bidiMessage, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.answers[id] = answer
	b.mu.Unlock()
	if err := wsjson.Write(ctx, b.conn, map[string]any{"id": id, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answer:
		if m.Type != "success" {
			return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(m.Result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// bidiProfile is a user context; "" is the one that a browser begins with.
type bidiProfile struct {
	*bidi
	userContext string
}

func (b bidiProfile) open(ctx context.Context, p *Page) (pane, error) {
	params := map[string]any{"type": "window"}
	if b.userContext != "" {
		params["userContext"] = b.userContext
	}
	var created struct{ Context string }
	if err := b.call(ctx, "browsingContext.create", params, &created); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages[created.Context] = p
	return bidiPane{b.bidi, created.Context}, nil
}

// bidiPane is a browsing context.
type bidiPane struct {
	bidi    *bidi
	context string
}

func (p bidiPane) navigate(ctx context.Context, url string) error {
	return p.bidi.call(ctx, "browsingContext.navigate", map[string]any{"context": p.context, "url": url, "wait": "complete"}, nil)
}

func (p bidiPane) evaluate(ctx context.Context, expression string) (string, error) {
	var answer struct {
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	err := p.bidi.call(ctx, "script.evaluate", map[string]any{
		"expression": expression, "target": map[string]any{"context": p.context}, "awaitPromise": true,
	}, &answer)
	if text := answer.ExceptionDetails.Text; err == nil && text != "" {
		return "", errors.New(strings.TrimSpace(text))
	}
	return answer.Result.Value, err
}

func (p bidiPane) close(ctx context.Context) error {
	return p.bidi.call(ctx, "browsingContext.close", map[string]any{"context": p.context}, nil)
}
