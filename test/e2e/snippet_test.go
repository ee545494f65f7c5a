package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// snippet is a code block of a Markdown file.
type snippet struct {
	file    string
	line    int
	section string // the heading that it stands under
	before  string // the name that the line before begins with, in backquotes or not, such as a file's
	kind    string // what stands behind the fence
	text    string
}

func (s snippet) String() string { return fmt.Sprintf("%s:%d (%s)", s.file, s.line, s.kind) }

func snippets(t *testing.T, file string) (all []snippet) {
	t.Helper()
	var s *snippet
	section, before, n := "", "", 0
	for line := range strings.Lines(harness.File(t, file)) {
		n++
		switch fence, kind, ok := strings.Cut(strings.TrimSpace(line), "```"); {
		case ok && fence == "" && s == nil:
			s = &snippet{file: file, line: n, section: section, before: before, kind: kind}
		case ok && fence == "":
			all, s = append(all, *s), nil
		case s != nil:
			s.text += line
		case strings.HasPrefix(line, "#"):
			section = strings.Trim(line, "# \n")
		}
		if text := strings.TrimSpace(line); s == nil && text != "" {
			name, _ := strings.CutPrefix(text, "`")
			before, _, _ = strings.Cut(name, "`")
		}
	}
	if s != nil {
		t.Fatalf("%v is not closed", s)
	}
	return all
}

// the returns the only snippet of that kind in a document that contains a text. It fails the test if there are none, or several.
func the(t *testing.T, file, kind, holds string) snippet {
	t.Helper()
	var found []snippet
	for _, s := range snippets(t, file) {
		if s.kind == kind && strings.Contains(s.text, holds) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d snippets of %s with %q, want 1: %v", file, len(found), kind, holds, found)
	}
	return found[0]
}

// run runs a snippet as a script, in the repository's top folder. Of the snippet, only what the pairs say is replaced.
func (s snippet) run(t *testing.T, pairs ...string) (output string) {
	t.Helper()
	path := harness.WriteFile(t, harness.Dir(t), "snippet", harness.Replace(t, s.String(), s.text, pairs...))
	var cmd *exec.Cmd
	switch s.kind {
	case "sh":
		cmd = exec.Command(harness.Program(t, "sh"), "-eu", path)
	case "php":
		cmd = exec.Command(harness.Program(t, "php"), path)
	default:
		t.Fatalf("%v cannot be run", s)
	}
	cmd.Dir = harness.Root()
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s\n%s", s, err, out, &errors)
	}
	return string(out)
}

// documents returns the paths of all pages for users and developers.
var documents = sync.OnceValue(func() []string {
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/README.md", "examples/*/*/README.md", "clients/*/README.md", "clients/*/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(harness.Root(), pattern))
		if err != nil || len(found) == 0 {
			panic(fmt.Sprintf("%s: %q, %v", pattern, found, err))
		}
		for _, path := range found {
			name, err := filepath.Rel(harness.Root(), path)
			if err != nil {
				panic(err)
			}
			all = append(all, name)
		}
	}
	return all
})

// Each snippet is valid in its language.
func TestSnippetsAreValid(t *testing.T) {
	for _, name := range []string{"SSE_PUSH_TICKET_SECRET", "SSE_PUSH_JWT_SECRET", "SSE_PUSH_CLIENT_KEY", "SSE_PUSH_INSPECTOR", "SSE_PUSH_TOKEN", "SSE_PUSH_RELAY_SECRET", "OPENAI_KEY", "REDIS_PASSWORD",
		"MERCURE_PUBLISHER_JWT_KEY", "MERCURE_SUBSCRIBER_JWT_KEY", "MERCURE_JWT_SECRET"} {
		t.Setenv(name, strings.Repeat("x", 32))
	}
	known := []string{"", "caddyfile", "sh", "js", "php", "nginx", "go", "text", "yaml", "html", "python", "json",
		"apache", "haproxy", "vcl", "squid", "lighttpd", "ini", "mermaid"}
	for _, file := range documents() {
		for _, s := range snippets(t, file) {
			if !slices.Contains(known, s.kind) {
				t.Errorf("%v: no test knows what this is", s)
				continue
			}
			if out, err := s.check(t); err != nil {
				t.Errorf("%v: %v\n%s", s, err, out)
			}
		}
	}
}

func (s snippet) check(t *testing.T) (output string, err error) {
	t.Helper()
	dir, text := harness.Dir(t), s.text
	var cmd *exec.Cmd
	switch s.kind {
	case "caddyfile":
		path := harness.WriteFile(t, dir, "Caddyfile", text)
		return harness.RunCaddy(t, "validate", "--config", path, "--adapter", "caddyfile")
	case "sh":
		cmd = exec.Command(harness.Program(t, "sh"), "-n", harness.WriteFile(t, dir, "snippet.sh", text))
	case "js":
		cmd = exec.Command(harness.Program(t, "node"), "--check", harness.WriteFile(t, dir, "snippet.mjs", text))
	case "php":
		if !strings.HasPrefix(text, "<?php") {
			text = "<?php\n" + text
		}
		cmd = exec.Command(harness.Program(t, "php"), "-l", harness.WriteFile(t, dir, "snippet.php", text))
	default: // run by a test of its own, or not to be run
		return "", nil
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The files and the headings that documents link to are there.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	for _, file := range documents() {
		for _, part := range strings.Split(harness.File(t, file), "](")[1:] {
			target, _, _ := strings.Cut(part, ")")
			if strings.Contains(target, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			linked := file
			if path != "" {
				linked = filepath.Join(filepath.Dir(file), path)
			}
			if text := harness.File(t, linked); anchor != "" && !slices.Contains(anchors(text), anchor) {
				t.Errorf("%s links to %q, but %s has no such heading", file, target, linked)
			}
		}
	}
}

// anchors are the names of a document's headings in URLs, as GitHub makes them.
func anchors(document string) (all []string) {
	code := false
	for line := range strings.Lines(document) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		if heading := strings.TrimLeft(line, "#"); !code && heading != line && strings.HasPrefix(heading, " ") {
			all = append(all, strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
					return unicode.ToLower(r)
				}
				return -1
			}, strings.TrimSpace(heading)))
		}
	}
	return all
}
