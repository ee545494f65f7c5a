package sitetest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/doctor"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A directive that no request can reach is named at start, and no other.
func TestUnreachableIsNamed(t *testing.T) {
	directive := func(path string) string { return "sse_push " + path + " {\nhub main\nanonymous\n}" }
	s := sitetest.Serve(t, `
		handle /a/* {
			`+directive("/lost/a")+`
			`+directive("/a/found")+`
			sse_push {
				hub main
				internal /lost/internal {
					allow loopback
				}
			}
		}
		handle /b {
			route {
				`+directive("/lost/b")+`
			}
		}
		handle_path /c/* {
			`+directive("/found/c")+`
		}
		@d path /d /found/d
		handle @d {
			`+directive("/found/d")+`
			`+directive("/lost/d")+`
		}
		@post {
			method POST
			path {http.request.header.X-Path}
		}
		handle @post {
			`+directive("/found/e")+`
		}
		handle {
			`+directive("/found/f")+`
		}
		`+directive("/found/g"))
	log := s.Log()
	for path, lost := range map[string]bool{
		"/lost/a": true, "/lost/internal/publish": true, "/lost/b": true, "/lost/d": true, "/a/found": false,
		"/found/c": false, "/found/d": false, "/found/e": false, "/found/f": false, "/found/g": false,
	} {
		if got := strings.Contains(log, path+": the routes around"); got != lost {
			t.Errorf("%s is named: %v", path, got)
		}
	}
}

// A directive whose path another one before it answers is named at start, and no other.
func TestShadowedIsNamed(t *testing.T) {
	directive := func(hub, path, more string) string {
		return "sse_push " + path + " {\nhub " + hub + "\nanonymous\n" + more + "\n}\n"
	}
	internal := func(token string) string { return "internal /_sse {\ntoken " + token + "\n}\n" }
	const relay = "relay {\nto https://example.com\n}"
	for name, c := range map[string]struct{ body, lost string }{
		"another path":               {directive("a", "/a", "") + directive("b", "/b", ""), ""},
		"one subscribe path":         {directive("a", "/a", "") + directive("b", "/a", ""), "subscribe path /a"},
		"one internal route":         {directive("a", "/a", internal(secretA)) + directive("b", "/b", internal(secretA)), "internal route /_sse/publish"},
		"one hub":                    {directive("a", "/a", internal(secretA)) + directive("a", "/b", internal(secretA)), ""},
		"one hub, another token":     {directive("a", "/a", internal(secretA)) + directive("a", "/b", internal(secretB)), "internal route /_sse/publish"},
		"one hub, the second relays": {directive("a", "/a", internal(secretA)) + directive("a", "/b", internal(secretA)+relay), "internal route /_sse/publish"},
		"below the internal route":   {directive("a", "/a", internal(secretA)) + directive("b", "/_sse/b", ""), "subscribe path /_sse/b"},
		"one inspector": {directive("a", "/a", "inspector /_i {\ntoken "+secretA+"\n}") + directive("b", "/b", "inspector /_i {\ntoken "+secretB+"\n}"),
			"inspector /_i/"},
		"the first passes it on":  {directive("a", "/a", "source") + directive("b", "/a", ""), ""},
		"in handles":              {"handle /a {\n" + directive("a", "/a", "") + "}\nhandle /a* {\n" + directive("b", "/a", "") + "}", ""},
		"in a route":              {"route {\n" + directive("a", "/a", "") + "route /a {\n" + directive("b", "/a", "") + "}\n}", "subscribe path /a"},
		"the first for some only": {"@some header X-Some *\nroute @some {\n" + directive("a", "/a", "") + "}\nroute {\n" + directive("b", "/a", "") + "}", ""},
		"a rewrite between":       {"route {\n" + directive("a", "/a", "") + "rewrite * /a\n" + directive("b", "/a", "") + "}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := sitetest.Serve(t, c.body).Log()
			const cause = `: an sse_push before it, of the hub \"a\", answers that path`
			if c.lost != "" && !strings.Contains(log, "no request reaches the "+c.lost+cause) || c.lost == "" && strings.Contains(log, cause) {
				t.Error(log)
			}
		})
	}
}

// A hub warns at start if it reports presence to a topic that no route grants.
func TestPresenceUnheardIsNamed(t *testing.T) {
	for body, want := range map[string]bool{
		"presence room\nanonymous":                                             true,
		"presence room\nanonymous\ntopics rooms room/*":                        true,
		"presence room\nanonymous\ntopics room":                                false,
		"presence room/1\nanonymous\ntopics room/{user}":                       false,
		"presence room/1\nanonymous\ntopics **":                                false,
		"presence room\nuser ticket " + secretA:                                false,
		"presence room\nuser authorize /whoami":                                false,
		"presence room\nupstream":                                              false,
		"presence room\nuser jwt {\nsecret " + secretA + "\n}":                 true,
		"presence room\nuser jwt {\nsecret " + secretA + "\ntopics_claim t\n}": false,
	} {
		s := sitetest.Serve(t, "sse_push /events {\n"+body+"\n}")
		if got := strings.Contains(s.Log(), "no sse_push of the hub grants that topic"); got != want {
			t.Errorf("%s: named: %v", body, got)
		}
	}
	// Another directive of the hub may grant it.
	s := sitetest.Serve(t, "sse_push /events {\nhub a\npresence room\nanonymous\n}\nsse_push /other {\nhub a\nanonymous\ntopics room\n}")
	if strings.Contains(s.Log(), "no sse_push of the hub grants that topic") {
		t.Error("a topic that another directive grants is named")
	}
}

// The warning of an identity that any client can forge names what to use instead.
func TestForgeableIdentityNamesAlternatives(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nuser query userId\n}")
	if log := s.Log(); !strings.Contains(log, "user query userId: any client can set it to any user; use ticket, jwt or authorize") {
		t.Error(log)
	}
}

// caddy sse-push doctor says what a directive cannot see: that something else answers at its URL.
func TestDoctorNamesMissingDirective(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("page"), 0o600); err != nil {
		t.Fatal(err)
	}
	directive := "sse_push /events {\nhub main\nuser header X-User\n}\n"
	for name, c := range map[string]struct {
		body, user string
		missing    bool
	}{
		"in a handle for others": {"handle /app/* {\n" + directive + "}\nrespond 404", "ann", true},
		"a file server answers":  {"handle /app/* {\n" + directive + "}\nhandle {\nroot * " + root + "\ntry_files {path} /index.html\nfile_server\n}", "ann", true},
		"an app answers":         {"route {\nrespond app\n" + directive + "}", "ann", true},
		"a redirect":             {"redir https://example.com{uri}\n" + directive, "ann", true},
		"a login":                {"@stranger not header Cookie *\nrespond @stranger login 401\nroute {\nrespond @stranger login 401\n" + directive + "}", "ann", true},
		"another path":           {"sse_push /other {\nhub main\nanonymous\n}", "ann", true},
		"a refusal of its own":   {directive, "", false},
		"an app's refusal":       {"sse_push /events {\nhub main\nupstream\n}\nrespond 403", "", false},
		"a stream":               {directive, "ann", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, c.body)
			o := doctor.Options{URL: s.URL + "/events", Header: http.Header{}}
			if c.user != "" {
				o.Header.Set("X-User", c.user)
			}
			r, err := doctor.Examine(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			missing := slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
				return f.Code == "no-directive" && strings.Contains(f.Seen, o.URL) && f.Mend[0].In == "Caddy" && strings.Contains(f.Mend[0].Line, "handle")
			})
			if missing != c.missing {
				t.Errorf("the directive is said to be missing: %v; %+v", missing, r.Findings)
			}
		})
	}
}
