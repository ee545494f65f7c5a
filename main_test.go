package ssepush_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// limit is how long is waited for what must happen. Nothing comes near it, unless it is broken.
const limit = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sse_push")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_DATA_HOME", dir)
	os.Setenv("XDG_CONFIG_HOME", dir)
	caddy.DefaultStorage.Path = filepath.Join(dir, "caddy") // made of the environment before this, as is:
	caddy.ConfigAutosavePath = filepath.Join(dir, "autosave.json")

	code := m.Run()
	if code == 0 && !eventually(func() bool { return len(ownGoroutines()) == 0 }) {
		fmt.Fprintf(os.Stderr, "goroutines are left over:\n\n%s\n", strings.Join(ownGoroutines(), "\n\n"))
		return 1
	}
	return code
}

// ownGoroutines returns the stacks of all goroutines but the caller's that run this module's code.
func ownGoroutines() (own []string) {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*n)
		n = runtime.Stack(buf, true)
	}
	for _, stack := range strings.Split(string(buf[:n]), "\n\n")[1:] {
		if strings.Contains(stack, "created by github.com/sse-push/caddy-sse-push/internal/stream.newPoller") {
			continue // one for each core, and one more, for as long as the process lives
		}
		if strings.Contains(stack, "github.com/sse-push/caddy-sse-push") {
			own = append(own, stack)
		}
	}
	return own
}

// eventually reports whether a condition comes to hold.
func eventually(holds func() bool) bool {
	deadline, look := time.After(limit), time.NewTicker(2*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			return false
		}
	}
	return true
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !eventually(holds) {
		t.Fatalf("waited %s for: %s", limit, what)
	}
}

// site is a site of a Caddyfile, served by Caddy in this process.
type site struct {
	t      *testing.T
	addr   string // host and port
	url    string
	client *http.Client

	logFile string // Caddy's, of all sites
	options string // the servers'
}

// log is what Caddy has logged.
func (s *site) log() string {
	s.t.Helper()
	text, err := os.ReadFile(s.logFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// serve starts Caddy with one site, which body is what the Caddyfile has between its braces.
func serve(t *testing.T, body string) *site {
	t.Helper()
	return serveAll(t, body)[0]
}

// serveAll starts Caddy with several sites, each on a port of its own. {$SITE0} is the first one's address,
// and so on. One with "tls internal" is served at https://localhost.
func serveAll(t *testing.T, bodies ...string) []*site {
	t.Helper()
	return serveWith(t, "", bodies...)
}

// serveWith is serveAll with more lines for the servers' global options.
func serveWith(t *testing.T, options string, bodies ...string) []*site {
	t.Helper()
	for range 5 {
		sites := make([]*site, len(bodies))
		logFile := filepath.Join(t.TempDir(), "log")
		for i, body := range bodies {
			sites[i] = newSite(t, body)
			sites[i].logFile, sites[i].options = logFile, options
		}
		err := load(sites, bodies...)
		if err == nil {
			t.Cleanup(func() {
				if err := caddy.Stop(); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Logf("Caddy's log:\n%s", sites[0].log())
				}
			})
			return sites
		}
		// Something else may have taken the port that was free a moment ago, or two sites have got the same.
		if !strings.Contains(err.Error(), "address already in use") && !strings.Contains(err.Error(), "ambiguous site definition") {
			t.Fatal(err)
		}
	}
	t.Fatal("found no free port")
	return nil
}

func newSite(t *testing.T, body string) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &site{t: t, addr: l.Addr().String()}
	s.reconnect()
	s.url = "http://" + s.addr
	if strings.Contains(body, "tls internal") {
		s.url = fmt.Sprintf("https://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	}
	return s
}

// reconnect lets the next requests have new connections, as a reload closes those that are idle.
func (s *site) reconnect() {
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
}

// in is the site for a subtest.
func (s *site) in(t *testing.T) *site {
	other := *s
	other.t = t
	return &other
}

// load is what caddy run and caddy reload do.
func load(sites []*site, bodies ...string) error {
	config, err := adapt(sites, bodies...)
	if err != nil {
		return err
	}
	return loadConfig(sites, config)
}

// loadConfig returns when the old servers take no more connections: what the kernel has given to one that closes at that
// moment is lost.
func loadConfig(sites []*site, config []byte) error {
	if err := caddy.Load(config, false); err != nil {
		return err
	}
	for _, s := range sites {
		if !eventually(func() bool { return listeners(s.t, s.addr) == 1 }) {
			return fmt.Errorf("an old listener of %s stays open", s.addr)
		}
	}
	return nil
}

func adapt(sites []*site, bodies ...string) ([]byte, error) {
	var b strings.Builder
	b.WriteString(`{
		admin off
		persist_config off
		skip_install_trust
		auto_https disable_redirects
		default_bind 127.0.0.1
		servers {
			protocols h1 h2
			` + sites[0].options + `
		}
		log {
			output file ` + sites[0].logFile + `
		}
	}
	`)
	for i, body := range bodies {
		// Without a host in it, the address serves all.
		fmt.Fprintf(&b, "%s {\n%s\n}\n", strings.Replace(sites[i].url, "//127.0.0.1", "//", 1), body)
	}
	text := b.String()
	for i, s := range sites {
		text = strings.ReplaceAll(text, fmt.Sprintf("{$SITE%d}", i), s.addr)
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	return config, err
}

// route is a directive with all that most tests need, more lines in it, and a site behind it.
func route(more string) string {
	return `sse_push /events {
		user query userId
		anonymous
		topics room public/* user/{user}/*
		internal /_sse {
			allow loopback
		}
		` + more + `
	}
	respond "next"`
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are names and values in turn.
func (s *site) do(method, target, body string, headers ...string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r := s.request(ctx, method, target, strings.NewReader(body), headers)
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: reading the answer: %v", method, target, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (s *site) request(ctx context.Context, method, target string, body io.Reader, headers []string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+target, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	return r
}

// get decodes an answer of the internal route.
func get[T any](s *site, target string) (v T) {
	s.t.Helper()
	a := s.do(http.MethodGet, target, "")
	if a.status != http.StatusOK {
		s.t.Fatalf("%s: got %d %s", target, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		s.t.Fatalf("%s: %v in %s", target, err, a.body)
	}
	return v
}

const formType = "application/x-www-form-urlencoded"

// publish sends an event as a form, by names and values in turn, and returns its id.
func (s *site) publish(fields ...string) string {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	a := s.do(http.MethodPost, "/_sse/publish", form.Encode(), "Content-Type", formType)
	return idOf(s.t, a)
}

// idOf is the id in the answer to a publish.
func idOf(t *testing.T, a answer) string {
	t.Helper()
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != http.StatusOK || v.ID == "" {
		t.Fatalf("publish: got %d %s", a.status, a.body)
	}
	return v.ID
}

// dial sends bytes, for what net/http would not send, and returns the connection to read from.
func (s *site) dial(text string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// raw sends a request as it is, and reads the answer.
func (s *site) raw(text string) answer {
	s.t.Helper()
	conn, reader := s.dial(text)
	defer conn.Close()
	return readAnswer(s.t, reader)
}

func readAnswer(t *testing.T, reader *bufio.Reader) answer {
	t.Helper()
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}
