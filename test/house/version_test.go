package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The versions of Go and Caddy that documents and the image name are those of go.mod.
func TestVersionsOfGoAndCaddy(t *testing.T) {
	read := func(file string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(top, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	mod := read("go.mod")
	is := func(file, says, want string) {
		t.Helper()
		found := regexp.MustCompile(says).FindStringSubmatch(read(file))
		if found == nil || found[1] != want {
			t.Errorf("%s says %q where go.mod says %s", file, found, want)
		}
	}
	golang := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(mod)
	caddy := regexp.MustCompile(`caddyserver/caddy/v2 v(\S+)`).FindStringSubmatch(mod)
	if golang == nil || caddy == nil || strings.Count(caddy[1], ".") != 2 {
		t.Fatalf("go.mod says Go %q, Caddy %q", golang, caddy)
	}
	is("docs/howto/upgrade.md", `\*\*Go (\S+)\*\*`, golang[1])
	is("docs/howto/upgrade.md", `\*\*Caddy (\S+)\*\*`, caddy[1])
	is("README.md", `Go (\d+\.\d+)`, golang[1])
	is("Dockerfile", `FROM golang:(\d+\.\d+)`, golang[1])
}
