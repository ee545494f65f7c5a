package house

import (
	"go/ast"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Documents name tests that hold what they say. These tests exist.
func TestDocumentsNameTests(t *testing.T) {
	_, files := sources(t)
	var tests []string
	for _, file := range files {
		for _, decl := range file.ast.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasSuffix(file.path, "_test.go") {
				tests = append(tests, f.Name.Name)
			}
		}
	}
	var documents []string
	for _, folder := range []string{"docs", "docs/*"} {
		found, err := filepath.Glob(filepath.Join(top, folder, "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	found := 0
	for _, document := range append(documents, filepath.Join(top, "README.md"), filepath.Join(top, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllSubmatch(text, -1) {
			if found++; !slices.Contains(tests, string(name[1])) {
				t.Errorf("%s names %s, which is not there: name the test that holds it now", strings.TrimPrefix(document, top+"/"), name[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("the documents name %d tests: are they still written as `TestName`?", found)
	}
}

// Links to other sites have the form of an address that can be there. Nothing is asked for: tests need no network.
func TestLinksToOtherSites(t *testing.T) {
	all := pages(t)
	for _, path := range []string{"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} {
		text, err := os.ReadFile(filepath.Join(top, path))
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	found := 0
	for path, text := range all {
		for _, link := range regexp.MustCompile(`\]\(([^)\n]*://[^)\n]*)\)?`).FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			found++
			u, err := url.Parse(link[1])
			if err != nil || u.Scheme != "https" || u.User != nil || !regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}$`).MatchString(u.Host) ||
				strings.ContainsAny(link[1], " \"<>") || !strings.HasSuffix(link[0], ")") {
				t.Errorf("%s links to %q, which is no https address", path, link[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("the documents have %d links to other sites: are they still written as [text](https://…)?", found)
	}
}
