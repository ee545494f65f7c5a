package sitetest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// snippet matches the Caddyfiles in the docs.
var snippet = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// caddyfiles returns all Caddyfiles of the repository, those in docs and golden files among them, by where they stand.
func caddyfiles(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(sitetest.Repo("."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "vendor" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) == ".go":
			return nil
		}
		isCaddyfile := strings.Contains(d.Name(), "Caddyfile") || filepath.Ext(path) == ".caddyfiletest"
		if !isCaddyfile && filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if isCaddyfile {
			found[path], _, _ = strings.Cut(string(text), "----------\n")
			return err
		}
		for _, match := range snippet.FindAllStringSubmatch(string(text), -1) {
			first, _, _ := strings.Cut(match[1], "\n")
			found[path+": "+first+", and "+match[1][max(0, len(match[1])-40):]] = match[1]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What `caddy fmt` would change is not what a reader should copy.
func TestCaddyfilesAreFormatted(t *testing.T) {
	found := caddyfiles(t)
	if len(found) < 100 {
		t.Fatalf("found %d Caddyfiles", len(found))
	}
	for where, text := range found {
		if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
			t.Errorf("%s: caddy fmt makes it\n%s", where, formatted)
		}
	}
}
