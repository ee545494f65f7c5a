package front

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// recorded reads what a real front answered: to a request that no server accepts, an ordinary one, and two with ever longer URLs. The file
// has each as a Go string.
func recorded(t *testing.T, name string) (answers []Answer) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "fronts", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		answer, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answers = append(answers, Answer(answer))
	}
	if len(answers) != 2+2 {
		t.Fatalf("%s: %d answers", name, len(answers))
	}
	return answers
}

// Each front is recognised by what the real one answers, though the hub's own Server passes through most of them.
func TestFrontsAsRecorded(t *testing.T) {
	for name, want := range map[string][]string{
		"hub": nil, "hitch": nil, "stunnel": nil,
		"nginx": {"nginx"}, "nginx-twice": {"nginx"}, "apache": {"Apache"}, "haproxy": {"HAProxy"}, "varnish": {"Varnish"}, "squid": {"Squid"},
		"lighttpd": {"lighttpd"}, "h2o": {"h2o"}, "trafficserver": {"Traffic Server"}, "caddy-2.6": {"Caddy"}, "caddy-2.11": {"Caddy"},
		"haproxy-nginx": {"HAProxy", "nginx"}, "varnish-apache": {"Varnish", "Apache"}, "nginx-varnish": {"nginx", "Varnish"},
	} {
		if got := Standing(recorded(t, name)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What is not recognised is called unknown, and never something else.
func TestFrontsUnknown(t *testing.T) {
	const plain = "HTTP/1.1 204 No Content\r\nAllow: GET\r\nServer: Caddy\r\n\r\n"
	for name, c := range map[string]struct {
		answers []Answer
		want    []string
	}{
		"no answer":     {[]Answer{"", "", "", ""}, nil},
		"no HTTP":       {[]Answer{"220 mail ready\r\n", "", "", ""}, nil},
		"own page":      {[]Answer{"HTTP/1.1 400 Bad Request\r\nServer: edge\r\n\r\n<p>no", plain, "", ""}, []string{"unknown"}},
		"lower case":    {[]Answer{"", "HTTP/1.1 204 No Content\r\nallow: GET\r\nserver: Caddy\r\n\r\n", "", ""}, []string{"unknown"}},
		"a Via":         {[]Answer{"", "HTTP/1.1 204 No Content\r\nVia: 1.1 varnish (Varnish/7.1), 1.1 edge\r\n\r\n", "", ""}, []string{"unknown", "Varnish"}},
		"broken header": {[]Answer{"HTTP/1.1 400 Bad\r\n\x00: \r\nVia: 1.1 squid\r\n\r\n", "HTTP/1.1\r\n", "HTTP/1.1 41", "HTTP/1.1 414"}, []string{"unknown"}},
	} {
		if got := Standing(c.answers); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
