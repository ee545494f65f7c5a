package harness

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Front is a proxy in front of a hub.
type Front struct {
	*Process
	HTTP, HTTPS string // its URLs without a path; "" if it does not serve that
}

// kinds has the fronts by the name that doctor has for them.
var kinds = map[string]kind{
	"nginx":          nginxFront,
	"nginx twice":    nginxTwice,
	"Apache":         apache,
	"HAProxy":        haproxy,
	"Varnish":        varnish,
	"Squid":          squid,
	"lighttpd":       lighttpd,
	"h2o":            h2o,
	"Traffic Server": trafficServer,
	"hitch":          hitch,
	"stunnel":        stunnel,
	"Caddy":          caddyFront,
}

// Fronts returns the names of all fronts.
func Fronts() []string { return slices.Sorted(maps.Keys(kinds)) }

// UsualLines returns the lines that a front has at a place if a test says nothing.
func UsualLines(t testing.TB, name, place string) string {
	t.Helper()
	lines, ok := kinds[name].places[place]
	if !ok {
		t.Fatalf("%s has no place %q, only %q", name, place, slices.Sorted(maps.Keys(kinds[name].places)))
	}
	return lines
}

// StartFront starts a front that passes /events on to a hub, a host and port, and returns once it answers. In lines, hub:8080
// stands for the hub, inner:8080 for the inner one of two fronts, and $DIR for a folder of the front's own.
func StartFront(t testing.TB, name, hub string, lines Lines) *Front {
	t.Helper()
	k, ok := kinds[name]
	if !ok {
		t.Fatalf("no front is called %q", name)
	}
	dir := Dir(t)
	// Started by root, many go on as a user of their own.
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := Certificate(t, dir)
	f := &Front{}
	plain, secure, inner := Port(t), Port(t), Port(t)
	if k.cleartext {
		f.HTTP = "http://localhost:" + plain
	}
	if k.encrypted {
		f.HTTPS = "https://localhost:" + secure
	}
	host, port, err := net.SplitHostPort(hub)
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("hub:8080", hub, "$HUBHOST", host, "$HUBPORT", port, "$DIR", dir, "$PORT", plain, "$TLSPORT", secure,
		"inner:8080", "127.0.0.1:"+inner,
		"$CERT", certFile, "$KEY", keyFile)
	text := func(template string) string { return fill.Replace(k.at(t, template, lines)) }
	for file, template := range k.files {
		WriteFile(t, dir, file, text(template))
	}
	for place := range lines {
		UsualLines(t, name, place) // there is such a place
	}
	var args []string
	for _, arg := range k.args {
		args = append(args, strings.Fields(text(arg))...)
	}
	program := ""
	if k.program[0] == "caddy" {
		binary, err := caddyBinary()
		if err != nil {
			t.Fatal(err)
		}
		program = binary
	} else {
		program = Program(t, k.program...)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	for _, env := range k.env {
		cmd.Env = append(cmd.Env, text(env))
	}
	t.Cleanup(func() { // after the front's end
		showLogs(t, name, dir)
		for _, port := range []string{plain, secure, inner} {
			if !brokertest.Until(func() bool { return PortIsFree(port) }) {
				t.Errorf("%s has left a process that listens on port %s", name, port)
			}
		}
	})
	f.Process = Start(t, name, cmd)
	if k.asked {
		t.Cleanup(func() {
			f.Signal(syscall.SIGTERM)
			f.Wait(t)
		})
	}
	for _, url := range f.URLs() {
		f.eventually(t, name+" answers at "+url, func() bool { return answers(url) })
	}
	return f
}

// URLs returns HTTP and HTTPS, as far as the front serves them.
func (f *Front) URLs() []string {
	return slices.DeleteFunc([]string{f.HTTP, f.HTTPS}, func(url string) bool { return url == "" })
}

// answers reports whether something answers a request, with whatever status.
func answers(url string) bool {
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Timeout: 5 * time.Second, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(url + "/")
	if err != nil {
		return false
	}
	res.Body.Close()
	return true
}

// showLogs shows the logs that a front keeps in files, if the test has failed.
func showLogs(t testing.TB, name, dir string) {
	if !t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err == nil && len(content) > 0 {
			t.Logf("%s of %s:\n%s", filepath.Base(path), name, content[max(0, len(content)-8<<10):])
		}
	}
}
