package e2e_test

import (
	"encoding/xml"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// twins are two servers of one Caddy with the same site. Only one has the listener wrapper.
type twins struct {
	caddy          *harness.Caddy
	wrapped, stock string // host and port
}

func startTwins(t *testing.T) twins {
	t.Helper()
	wrapped, stock, root := harness.Port(t), harness.Port(t), harness.Dir(t)
	harness.WriteFile(t, root, "index.html", "<!doctype html><title>twins</title>")
	harness.WriteFile(t, root, "large", strings.Repeat("0123456789abcdef", 1<<16))
	caddy := harness.StartCaddy(t, `{
	skip_install_trust
	auto_https disable_redirects
	servers :`+wrapped+` {
		listener_wrappers {
			sse_push
		}
	}
}
(site) {
	tls internal
	push /pushing /large
	handle /pushing {
		respond "pushed"
	}
	handle /echo {
		respond {http.request.body}
	}
	sse_push /events {
		hub main
		anonymous
		internal /_sse {
			allow loopback
		}
	}
	root * `+root+`
	file_server
}
https://localhost:`+wrapped+` {
	import site
}
https://localhost:`+stock+` {
	import site
}`)
	all := twins{caddy, "localhost:" + wrapped, "localhost:" + stock}
	for _, server := range []string{all.wrapped, all.stock} {
		brokertest.Eventually(t, "Caddy has made a certificate", func() bool {
			return exec.Command(harness.Program(t, "curl"), "-sk", "https://"+server+"/").Run() == nil
		})
	}
	return all
}

// alike runs a client against both servers, and compares what it says, line by line. Each of want must be a line of it.
func (all twins) alike(t *testing.T, client func(t *testing.T, server string) []string, want ...string) {
	t.Helper()
	got, model := client(t, all.wrapped), client(t, all.stock)
	if !slices.Equal(got, model) {
		t.Errorf("with the wrapper:\n%s\nwithout:\n%s", strings.Join(got, "\n"), strings.Join(model, "\n"))
	}
	for _, line := range want {
		if !slices.Contains(model, line) {
			t.Errorf("no line %q in:\n%s", line, strings.Join(model, "\n"))
		}
	}
}

// To each client, a server with the wrapper looks like one without.
func TestClientsNoticeNoWrapper(t *testing.T) {
	t.Parallel()
	all := startTwins(t)
	t.Run("nghttp", func(t *testing.T) {
		t.Parallel()
		all.alike(t, func(t *testing.T, server string) []string {
			return nghttp(t, `recv \(stream_id|\[SETTINGS_|PUSH_PROMISE|; END_STREAM$`, "https://"+server+"/pushing")
		}, "recv (stream_id=2) content-length: 1048576", "recv (stream_id=1) :status: 200")
	})
	t.Run("nghttp beside a stream", func(t *testing.T) {
		t.Parallel()
		all.alike(t, func(t *testing.T, server string) []string { // SETTINGS may differ once a stream is held
			return nghttp(t, `recv (\(stream_id|PUSH_PROMISE)`, "--timeout=3", // without a byte
				"https://"+server+"/events", "https://"+server+"/pushing", "https://"+server+"/")
		}, "recv (stream_id=2) content-length: 1048576", "recv (stream_id=1) content-type: text/event-stream")
	})
	t.Run("h2load", func(t *testing.T) {
		t.Parallel()
		upload := harness.WriteFile(t, harness.Dir(t), "upload", strings.Repeat("x", 100_000))
		for _, args := range [][]string{
			{"-n500", "/"},
			{"-n100", "/large"},
			{"-n100", "-d" + upload, "-Hcontent-type: text/plain", "/echo"},
		} {
			all.alike(t, func(t *testing.T, server string) []string { return h2load(t, server, args...) },
				"status codes: "+args[0][2:]+" 2xx, 0 3xx, 0 4xx, 0 5xx")
		}
	})
	for _, version := range []string{"--http1.1", "--http2"} {
		t.Run("curl "+version, func(t *testing.T) {
			t.Parallel()
			all.alike(t, func(t *testing.T, server string) []string {
				lines := curlStream(t, "-ik", version, "https://"+server+"/events")
				head := await(t, lines, "event: sse:connected")
				curl(t, "-k", version, "-d", "broadcast=true", "-d", "data=hello", "https://"+server+"/_sse/publish")
				return comparable(append(head, await(t, lines, "data: hello")...), server, "(?i)^(HTTP|[a-z-]+:)|^$")
			}, "event: sse:connected", "data: hello")
		})
	}
	t.Run("Chromium", func(t *testing.T) {
		t.Parallel()
		own := startTwins(t)
		own.alike(t, own.inChromium, "10 streams by h2", "1048576 bytes by h2", "10 heard of it", "1048576 bytes by h2 later")
	})
}

// nghttp runs nghttp, which takes pushes, and returns the lines that match a pattern, sorted: the order in which streams answer varies.
func nghttp(t *testing.T, pattern string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(harness.Program(t, "nghttp"), append([]string{"-nv", "--no-dep"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nghttp: %v\n%s", err, out)
	}
	_, server, _ := strings.Cut(args[len(args)-1], "//")
	server, _, _ = strings.Cut(server, "/")
	lines := comparable(strings.Split(string(out), "\n"), server, pattern)
	slices.Sort(lines)
	return lines
}

// h2load runs h2load against a path, the last of args, and returns what became of its requests.
func h2load(t *testing.T, server string, args ...string) []string {
	t.Helper()
	last := len(args) - 1
	args = append([]string{"-c5", "-m10"}, append(args[:last:last], "https://"+server+args[last])...)
	out, err := exec.Command(harness.Program(t, "h2load"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("h2load: %v\n%s", err, out)
	}
	return comparable(strings.Split(string(out), "\n"), server, "^(requests|status codes):")
}

var (
	noise   = regexp.MustCompile(`\x1b\[[0-9;]*m|^\[ *[0-9.]+\] |\r$`)
	varying = regexp.MustCompile(`(?i)((?:date|retry|id|last-modified|etag): |"connection":).*`)
)

// comparable returns the lines that match a pattern, without times and names of their own.
func comparable(lines []string, server, pattern string) (all []string) {
	_, port, _ := strings.Cut(server, ":")
	wanted := regexp.MustCompile(pattern)
	for _, line := range lines {
		line = strings.ReplaceAll(noise.ReplaceAllString(line, ""), port, "PORT")
		if line = varying.ReplaceAllString(line, "$1"); wanted.MatchString(line) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// inChromium opens ten streams in a page, loads a large file beside them and again when the wrapper has let go of the connection's server, and
// returns what the page saw.
func (all twins) inChromium(t *testing.T, server string) []string {
	t.Helper()
	tab := harness.OpenTab(t, "https://"+server+"/")
	harness.Eval[bool](tab, `(async () => {
	window.said = [];
	const by = () => performance.getEntriesByType('resource').at(-1).nextHopProtocol;
	const load = async () => (await (await fetch('/large')).arrayBuffer()).byteLength + ' bytes by ' + by();
	const streams = Array.from({ length: 10 }, () => new EventSource('/events'));
	await Promise.all(streams.map((source) => new Promise((resolve) => source.addEventListener('sse:connected', resolve))));
	said.push(streams.length + ' streams by ' + performance.getEntriesByType('navigation')[0].nextHopProtocol);
	said.push(await load());
	window.all = Promise.all(streams.map((source) => new Promise((resolve) => source.addEventListener('message', resolve))));
	window.later = async () => [...said, await load() + ' later'];
	return true;
})()`)
	curl(t, "-k", "-d", "broadcast=true", "-d", "data=hello", "https://"+server+"/_sse/publish")
	harness.Eval[int](tab, `all.then((events) => said.push(events.length + ' heard of it'))`)
	if server == all.wrapped {
		brokertest.Eventually(t, "the server was let go", func() bool { return all.caddy.GoroutinesIn(t, "http2.(*inner).Read") == 0 })
	}
	return harness.Eval[[]string](tab, `later()`)
}

// h2spec finds the same with the wrapper and without, on requests whose answer is a stream.
func TestH2spec(t *testing.T) {
	t.Parallel()
	all := startTwins(t)
	program, err := exec.Command("go", "tool", "-n", "h2spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"generic", "http2", "hpack"} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			both := func(section, patience string) (wrapped, stock map[string]string) {
				done := make(chan bool)
				go func() {
					defer close(done)
					wrapped = h2spec(t, strings.TrimSpace(string(program)), all.wrapped, section, patience)
				}()
				stock = h2spec(t, strings.TrimSpace(string(program)), all.stock, section, patience)
				<-done
				return wrapped, stock
			}
			got, want := both(group, "1")
			if len(want) < 5 {
				t.Fatalf("only %d cases: %v", len(want), want)
			}
			for _, name := range slices.Sorted(maps.Keys(want)) {
				// What answers late on a busy machine is asked again, with more time.
				for tries := 0; got[name] != want[name] && tries < 3; tries++ {
					section, _, _ := strings.Cut(name, " ")
					moreGot, moreWant := both(section, "4")
					got[name], want[name] = moreGot[name], moreWant[name]
				}
				if got[name] != want[name] {
					t.Errorf("%s: with the wrapper %s, without %s", name, got[name], want[name])
				}
			}
		})
	}
}

// h2spec runs a section of h2spec, and returns whether each case has passed.
func h2spec(t *testing.T, program, server, section, patience string) map[string]string {
	host, port, _ := strings.Cut(server, ":")
	path := filepath.Join(harness.Dir(t), "report.xml")
	out, err := exec.Command(program, section, "--host", host, "--port", port, "--path", "/events", "--tls", "--insecure", "--strict",
		"--timeout", patience, "--junit-report", path).CombinedOutput() // fails if a case does
	text, missing := os.ReadFile(path)
	if missing != nil {
		t.Errorf("%v: %v\n%s", missing, err, out)
		return nil
	}
	var report struct {
		Suites []struct {
			Cases []struct {
				Section string    `xml:"package,attr"`
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		t.Error(err)
	}
	all := map[string]string{}
	for _, suite := range report.Suites {
		for _, c := range suite.Cases {
			verdict := "passed"
			if c.Failure != nil || c.Error != nil {
				verdict = "failed"
			}
			all[c.Section+" "+c.Name] = verdict
		}
	}
	return all
}
