package house

import (
	"go/ast"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pages returns the text of all pages for users, by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found[strings.TrimPrefix(path, top+"/")] = string(text)
		}
	}
	return found
}

// The README is read in one go.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(pages(t)["README.md"], "\n"); n > 150 {
		t.Errorf("README.md has %d lines, want at most 150: what explains an option belongs on its page below docs", n)
	}
}

// texts calls f with each text in the code of the module that users run.
func texts(t *testing.T, f func(of ast.Node, text string)) {
	t.Helper()
	_, files := sources(t)
	for _, file := range files {
		if strings.HasSuffix(file.path, "_test.go") || strings.HasPrefix(file.path, "test/") || strings.HasPrefix(file.path, "bench/") {
			continue
		}
		var within []ast.Node
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if n == nil {
				within = within[:len(within)-1]
				return true
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					f(within[len(within)-1], text)
				}
			}
			within = append(within, n)
			return true
		})
	}
}

// options returns the names of all options of the Caddyfile.
func options(t *testing.T) []string {
	t.Helper()
	makers := []string{"Bytes", "Checked", "Count", "Duration", "Flag", "List", "Milliseconds", "Number", "Size", "SizeOrOff", "Text"}
	names := map[string]bool{}
	texts(t, func(of ast.Node, text string) {
		name, _, _ := strings.Cut(text, " ")
		option := false
		switch of := of.(type) {
		case *ast.KeyValueExpr:
			key, ok := of.Key.(*ast.Ident)
			option = ok && key.Name == "Usage"
		case *ast.CallExpr:
			if f, ok := of.Fun.(*ast.SelectorExpr); ok {
				pkg, ok := f.X.(*ast.Ident)
				option = ok && pkg.Name == "block" && slices.Contains(makers, f.Sel.Name)
			}
		}
		if option && regexp.MustCompile(`^[a-z_]+$`).MatchString(name) {
			names[name] = true
		}
	})
	return slices.Sorted(maps.Keys(names))
}

// Each option of the Caddyfile has a row of a table in the reference.
func TestOptionsAreDocumented(t *testing.T) {
	reference := ""
	for path, text := range pages(t) {
		if strings.HasPrefix(path, "docs/reference/") && path != jsonPage && path != errorsPage {
			reference += text + "\n"
		}
	}
	names := options(t)
	if len(names) < 60 {
		t.Errorf("the code has %d options: %v; are they still made as this test expects?", len(names), names)
	}
	for _, name := range names {
		if !regexp.MustCompile("(?m)^\\|[^|]*`[^`\n]*\\b" + name + "\\b[^`\n]*`").MatchString(reference) {
			t.Errorf("no table of docs/reference says what the option %s is", name)
		}
	}
}

// The tables of options name options that are there.
func TestDocumentedOptionsExist(t *testing.T) {
	names := map[string]bool{}
	texts(t, func(_ ast.Node, text string) {
		name, _, _ := strings.Cut(text, " ")
		names[name] = true
	})
	for path, text := range pages(t) {
		inTable := false
		for line := range strings.Lines(text) {
			switch {
			case strings.HasPrefix(line, "| option | "), strings.HasPrefix(line, "| sub-directive | "), strings.HasPrefix(line, "| in `") && !strings.HasPrefix(line, "| in `delivery`"):
				inTable = true
			case !strings.HasPrefix(line, "|"):
				inTable = false
			case inTable:
				row, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), " | ")
				for _, quoted := range regexp.MustCompile("`([a-z_]+)[^`]*`").FindAllStringSubmatch(row, -1) {
					if !names[quoted[1]] {
						t.Errorf("%s has the option %s, which is not there", path, quoted[1])
					}
				}
			}
		}
	}
}

// The events of the proxy's own are those that the reference names, and no others.
func TestEventsAreDocumented(t *testing.T) {
	event := regexp.MustCompile(`^sse:[a-z_]+$`)
	sent := map[string]bool{}
	texts(t, func(_ ast.Node, text string) {
		if event.MatchString(text) {
			sent[text] = true
		}
	})
	if len(sent) < 9 {
		t.Errorf("the code names %v", slices.Sorted(maps.Keys(sent)))
	}
	all := pages(t)
	reference := all["docs/reference/events.md"]
	types, err := os.ReadFile(filepath.Join(top, "clients/js/sse-push.d.ts"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range sent {
		if !strings.Contains(reference, "| `"+name+"` |") {
			t.Errorf("docs/reference/events.md has no row for %s", name)
		}
		// The JavaScript client keeps heartbeats to itself.
		if has := strings.Contains(string(types), "\n\t'"+name+"': "); has == (name == "sse:heartbeat") {
			t.Errorf("clients/js/sse-push.d.ts has %s: %t", name, has)
		}
	}
	sent["sse:state"] = true // the JavaScript client's own
	for path, text := range all {
		for _, name := range regexp.MustCompile(`sse:[a-z_]+`).FindAllString(text, -1) {
			if !sent[name] {
				t.Errorf("%s names the event %s, which is not there", path, name)
			}
		}
	}
}

// The headers of the proxy's own are those that the reference names, and no others.
func TestHeadersAreDocumented(t *testing.T) {
	const name = `(?i)X-SSE-[a-z]+`
	known, named := map[string]bool{}, map[string]bool{}
	header := regexp.MustCompile("^" + name + "$")
	each(t, func(path string, n ast.Node) {
		e, _ := n.(ast.Expr)
		text, _ := literal(e)
		if sum, ok := n.(*ast.BinaryExpr); ok && filepath.Dir(path) == "internal/instruction" && lastName(sum.X) == "prefix" {
			rest, _ := literal(sum.Y)
			text = "X-SSE-" + rest
		}
		if header.MatchString(text) {
			known[http.CanonicalHeaderKey(text)] = true
		}
	})
	delete(known, "X-Sse-Inspector") // between the inspector and its own page
	for path, text := range pages(t) {
		if filepath.Dir(path) != "docs/reference" {
			continue
		}
		for _, header := range regexp.MustCompile(name).FindAllString(text, -1) {
			named[http.CanonicalHeaderKey(header)] = true
		}
	}
	if code, page := slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(named)); len(code) < 8 || !slices.Equal(code, page) {
		t.Errorf("the code has the headers %q, docs/reference names %q", code, page)
	}
}

// The metrics are those that the reference has a row for, and pages, alerts and dashboards name no others.
func TestMetricsAreDocumented(t *testing.T) {
	made := map[string]bool{}
	each(t, func(path string, n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok && strings.HasPrefix(path, "internal/metrics/") && lastName(call.Fun) == "metric" {
			if name, ok := literal(call.Args[0]); ok {
				made["sse_push_"+name] = true
			}
		}
	})
	if len(made) < 30 {
		t.Errorf("the code has the metrics %v; are they still made as this test expects?", slices.Sorted(maps.Keys(made)))
	}
	all := pages(t)
	named := regexp.MustCompile(`\bsse_push_[a-z_]+[a-z]\b`)
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`sse_push_[^|]*) \\|").FindAllStringSubmatch(all["docs/reference/metrics.md"], -1) {
		rows = append(rows, named.FindAllString(row[1], -1)...)
	}
	sameNames(t, "docs/reference/metrics.md", made, rows)
	for _, path := range []string{"examples/prometheus-rules.yml", "examples/grafana.json"} {
		text, err := os.ReadFile(filepath.Join(top, path))
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	parts := regexp.MustCompile(`_(bucket|sum|count)$`) // of a histogram
	for path, text := range all {
		for _, name := range named.FindAllString(text, -1) {
			if !made[name] && !made[parts.ReplaceAllString(name, "")] && strings.Contains(name, "_total") {
				t.Errorf("%s names the metric %s, which is not there", path, name)
			}
		}
	}
}

// Pages name commands that are there. Their reference is written by TestCommandDocs.
func TestCommandsExist(t *testing.T) {
	all := pages(t)
	commands := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## caddy sse-push ([a-z ]+)$`).FindAllStringSubmatch(all["docs/reference/commands.md"], -1) {
		commands[strings.Fields(heading[1])[0]] = true
	}
	if len(commands) < 12 {
		t.Errorf("docs/reference/commands.md has the commands %v", slices.Sorted(maps.Keys(commands)))
	}
	for path, text := range all {
		for _, name := range regexp.MustCompile(`caddy sse-push ([a-z]+)`).FindAllStringSubmatch(text, -1) {
			if !commands[name[1]] {
				t.Errorf("%s names the command sse-push %s, which is not there", path, name[1])
			}
		}
	}
}

// The fields of an event are those that the reference of publish has.
func TestFieldsAreDocumented(t *testing.T) {
	fields := map[string]bool{"wait": true, "timeout": true, "idempotency_key": true} // which are no part of a record
	each(t, func(path string, n ast.Node) {
		if lit, ok := n.(*ast.CompositeLit); ok && path == "internal/rules/field.go" {
			if name, ok := literal(keyed(lit)["Name"]); ok {
				fields[name] = true
			}
		}
	})
	if len(fields) < 15 {
		t.Errorf("the code has the fields %v; are they still made as this test expects?", slices.Sorted(maps.Keys(fields)))
	}
	text := section(t, "docs/reference/http-api.md", "## Publish")
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(text, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			rows = append(rows, name[1])
		}
	}
	sameNames(t, "docs/reference/http-api.md", fields, rows)
}

// The parameters of the subscribe route are those of the list that the reference begins with.
func TestParametersAreDocumented(t *testing.T) {
	params := map[string]bool{"last_event_id": true} // which has many spellings
	add := func(e ast.Expr) {
		if name, ok := literal(e); ok {
			params[name] = true
		}
	}
	each(t, func(path string, n ast.Node) {
		if !strings.HasPrefix(path, "internal/subscribe/") && path != "internal/relay/listen.go" && path != "internal/relay/plain.go" {
			return
		}
		switch n := n.(type) {
		case *ast.IndexExpr:
			if lastName(n.X) == "params" {
				add(n.Index)
			}
		case *ast.CallExpr:
			switch selector, ok := n.Fun.(*ast.SelectorExpr); {
			case ok && selector.Sel.Name == "HasParam":
				add(n.Args[1])
			case ok && selector.Sel.Name == "Get" && lastName(selector.X) == "params":
				add(n.Args[0])
			}
		case *ast.ValueSpec:
			if strings.HasSuffix(strings.ToLower(n.Names[0].Name), "param") && len(n.Values) == 1 {
				add(n.Values[0])
			}
		}
	})
	list, _, _ := strings.Cut(pages(t)["docs/reference/events.md"], "\n\nClients that use `fetch`")
	var listed []string
	for _, item := range regexp.MustCompile("(?m)^- `([a-z_]+)").FindAllStringSubmatch(list, -1) {
		listed = append(listed, item[1])
	}
	sameNames(t, "docs/reference/events.md", params, listed)
}
