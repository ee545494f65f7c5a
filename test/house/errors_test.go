package house

import (
	"fmt"
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

const errorsPage = "docs/reference/errors.md"

// section returns the text below a heading of a page, up to the next heading of any level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, found := strings.Cut("\n"+pages(t)[page], "\n"+heading+"\n")
	if !found {
		t.Errorf("%s has no %q", page, heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	return text
}

// firstCells returns the first cell of each row of a section's table, without backticks.
func firstCells(section string) (found []string) {
	for _, row := range regexp.MustCompile("(?m)^\\| `?([a-z0-9_]+)`? \\|").FindAllStringSubmatch(section, -1) {
		if name := row[1]; !slices.Contains([]string{"status", "reason", "member"}, name) {
			found = append(found, name)
		}
	}
	return found
}

// sameNames reports names that only one of the code and a page has.
func sameNames(t *testing.T, where string, code map[string]bool, page []string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if !slices.Contains(page, name) {
			t.Errorf("%s does not have %s", where, name)
		}
	}
	for i, name := range page {
		if !code[name] {
			t.Errorf("%s has %s, which the code does not have", where, name)
		}
		if slices.Contains(page[:i], name) {
			t.Errorf("%s has %s twice", where, name)
		}
	}
}

// The reasons of the proxy's own events are those on the page.
func TestReasonsAreDocumented(t *testing.T) {
	sameNames(t, "sse:rejected", rejections(t), firstCells(section(t, errorsPage, "### sse:rejected")))
	sameNames(t, "sse:gap", gaps(t), firstCells(section(t, errorsPage, "### sse:gap")))
	sameNames(t, "sse:closing", closings(t), firstCells(section(t, errorsPage, "### sse:closing")))
}

// literal returns the text of a string literal.
func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// lastName returns the last name of an expression such as hub.Refusal.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// keyed returns the values of a composite literal by their keys.
func keyed(lit *ast.CompositeLit) map[string]ast.Expr {
	values := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if e, ok := e.(*ast.KeyValueExpr); ok {
			values[lastName(e.Key)] = e.Value
		}
	}
	return values
}

// each calls f with each node of the code that users run, and the path of its file.
func each(t *testing.T, f func(path string, n ast.Node)) {
	t.Helper()
	_, files := sources(t)
	for _, file := range files {
		if !isTest(file.path) {
			ast.Inspect(file.ast, func(n ast.Node) bool {
				if n != nil {
					f(file.path, n)
				}
				return true
			})
		}
	}
}

// rejections returns the reasons that clients get with sse:rejected.
func rejections(t *testing.T) map[string]bool {
	found := map[string]bool{}
	add := func(e ast.Expr) bool {
		text, ok := literal(e)
		if ok && text != "" {
			found[text] = true
		}
		return ok
	}
	each(t, func(path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CompositeLit:
			values := keyed(n)
			switch lastName(n.Type) {
			case "Refusal": // of the hub
				if reason := values["Reason"]; reason != nil && !add(reason) && !slices.Contains([]string{"reason", "Again"}, lastName(reason)) {
					t.Errorf("%s: this test does not know what reason a Refusal has", path)
				}
			case "refusal": // of a proof of identity: without a status, the client may come again
				if values["public"] != nil && values["status"] == nil {
					add(values["public"])
				}
			}
		case *ast.CallExpr:
			if lastName(n.Fun) == "Crowded" {
				add(n.Args[0])
			}
		case *ast.AssignStmt:
			name := lastName(n.Lhs[0])
			if name == "Again" || name == "reason" && strings.HasPrefix(path, "internal/subscribe/") {
				add(n.Rhs[0])
			}
		case *ast.FuncDecl:
			if n.Name.Name == "full" && strings.HasPrefix(path, "internal/source/") {
				ast.Inspect(n, func(n ast.Node) bool {
					if n, ok := n.(*ast.ReturnStmt); ok {
						add(n.Results[0])
					}
					return true
				})
			}
		}
	})
	return found
}

// gaps returns the reasons that clients get with sse:gap.
func gaps(t *testing.T) map[string]bool {
	found := map[string]bool{}
	add := func(exprs ...ast.Expr) {
		for _, e := range exprs {
			if text, ok := literal(e); ok {
				found[text] = true
			}
		}
	}
	each(t, func(_ string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name := lastName(n.Fun); len(n.Args) > 0 && (name == "gap" || name == "Gap") {
				add(n.Args[0])
			}
		case *ast.CompositeLit:
			if lastName(n.Type) == "breaksOff" {
				add(n.Elts...)
			}
		case *ast.KeyValueExpr: // those that are counted
			if call, ok := n.Value.(*ast.CallExpr); ok && lastName(n.Key) == "gaps" && lastName(call.Fun) == "known" {
				add(call.Args...)
			}
		}
	})
	return found
}

// closings returns the reasons that clients get with sse:closing.
func closings(t *testing.T) map[string]bool {
	found := map[string]bool{}
	each(t, func(path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST && path == "internal/hub/farewell.go" {
				for _, spec := range n.Specs {
					for _, value := range spec.(*ast.ValueSpec).Values {
						if text, ok := literal(value); ok {
							found[text] = true
						}
					}
				}
			}
		case *ast.CompositeLit:
			if path == "internal/hub/cause.go" {
				for _, e := range n.Elts {
					if pair, ok := e.(*ast.KeyValueExpr); ok {
						e = pair.Value
					}
					if text, ok := literal(e); ok && text != "superseded" { // which has an event of its own
						found[text] = true
					}
				}
			}
		}
	})
	return found
}

// Why relays and shared sources end is on the page.
func TestEndsAreDocumented(t *testing.T) {
	for heading, files := range map[string][]string{
		"## Relays":         {"internal/relay/run.go", "internal/relay/lease.go"},
		"## Shared sources": {"internal/source/reason.go"},
	} {
		given := map[string]bool{}
		each(t, func(path string, n ast.Node) {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !slices.Contains(files, path) || len(spec.Values) != 1 || spec.Names[0].Name == "errOver" { // which nobody is told
				return
			}
			if call, ok := spec.Values[0].(*ast.CallExpr); ok && lastName(call.Fun) == "New" && lastName(call.Fun.(*ast.SelectorExpr).X) == "errors" {
				if text, ok := literal(call.Args[0]); ok {
					given[text] = true
				}
			}
		})
		var rows []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`…]+)` \\|").FindAllStringSubmatch(section(t, errorsPage, heading), -1) {
			rows = append(rows, row[1])
		}
		sameNames(t, errorsPage+", "+heading, given, rows)
	}
}

// doors are the headings of the page, and the code whose error answers belong there: files, or folders with a slash at the end.
var doors = map[string][]string{
	"## The subscribe route": {
		"internal/subscribe/", "internal/identity/", "internal/request/", "internal/guard/cors.go", "internal/upstream/forward.go",
		"internal/relay/listen.go", "internal/relay/plain.go",
	},
	"## The internal route": {
		"handler.go", "internal/api/", "internal/decode/", "internal/guard/guard.go", "internal/publish/",
		"internal/relay/call.go", "internal/relay/run.go", "internal/relay/serve.go", "internal/relay/start.go",
	},
	"## Posts of pages": {"internal/upstream/post.go"},
	"## The inspector":  {"internal/inspector/"},
	"## Mercure":        {"mercure/"},
	// Statuses of others, and problems that are for the log.
	"": {
		"internal/command/", "internal/doctor/", "internal/instruction/", "internal/problem/", "internal/relay/retry.go", "internal/source/open.go",
		"internal/upstream/publish.go",
	},
}

// made are the statuses of problems by the functions that make them.
var made = map[string][]int{
	"Field": {http.StatusBadRequest}, "MethodNotAllowed": {http.StatusMethodNotAllowed}, "NoConnection": {http.StatusNotFound},
	"TooLarge": {http.StatusRequestEntityTooLarge},
	"OfBody":   {http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
}

// statusesByName returns the statuses by the names that net/http has for them.
func statusesByName() map[string]int {
	codes := map[string]int{}
	for code := 200; code < 600; code++ {
		codes["Status"+strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(code))] = code
	}
	return codes
}

// The statuses of error answers are those on the page.
func TestStatusesAreDocumented(t *testing.T) {
	codes := statusesByName()
	given := map[string]map[string]bool{}
	each(t, func(path string, n ast.Node) {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return
		}
		var statuses []int
		switch pkg := lastName(selector.X); {
		case pkg == "problem":
			statuses = made[selector.Sel.Name]
		case pkg == "http" && codes[selector.Sel.Name] != 0:
			statuses = []int{codes[selector.Sel.Name]}
		}
		for _, status := range statuses {
			heading, belongs := doorOf(path)
			if !belongs && status >= 400 {
				t.Errorf("%s answers with %d: at which heading of %s?", path, status, errorsPage)
			}
			if status >= 400 || status == http.StatusNoContent && heading == "## The subscribe route" {
				if given[heading] == nil {
					given[heading] = map[string]bool{}
				}
				given[heading][strconv.Itoa(status)] = true
			}
		}
	})
	for heading := range doors {
		if heading != "" {
			sameNames(t, errorsPage+", "+heading, given[heading], firstCells(section(t, errorsPage, heading)))
		}
	}
}

// doorOf returns the heading at which the error answers of a file belong.
func doorOf(path string) (heading string, belongs bool) {
	for heading, places := range doors {
		for _, place := range places {
			if place == path || strings.HasSuffix(place, "/") && strings.HasPrefix(path, place) {
				return heading, true
			}
		}
	}
	return "", false
}

// general are errors that may be said of any option. The page has them with "…" for what differs.
var general = []string{
	"… is given twice, first at …",
	"…: missing argument; write: …",
	"…: \"…\" is one argument too many; write: …",
	"\"…\" is not an option here; the options are …",
	"…: takes no block",
	"…: the block is missing or empty; it may hold …",
	"…: has no effect without a subscribe path: sse_push <path>",
	"… of hub \"…\" differs from the one at …: give it in one directive of the hub, or the same in each",
}

const configErrors = "The list is written from the tests of the Caddyfile.\n"

// Each error of a Caddyfile that a test knows is on the page, with a line that causes it.
func TestErrorsOfCaddyfileAreDocumented(t *testing.T) {
	page := pages(t)[errorsPage]
	own, listed, found := strings.Cut(page, configErrors)
	if !found {
		t.Fatalf("%s has no list of errors of a Caddyfile", errorsPage)
	}
	var patterns []*regexp.Regexp
	for _, form := range general {
		if !strings.Contains(own, "| `"+form+"` |") {
			t.Errorf("%s does not have %s", errorsPage, form)
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(form), "…", ".*")
		patterns = append(patterns, regexp.MustCompile("^(?:[^:]*: )?"+pattern+"$"))
	}
	files, err := filepath.Glob(filepath.Join(top, "testdata/caddyfile/error_*.caddyfiletest"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	place := regexp.MustCompile(`^(.*), at Caddyfile:(\d+)$`)
	used, rows := make([]bool, len(general)), map[string]string{}
	for _, file := range files {
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source, want, _ := strings.Cut(string(golden), "----------\n")
		says := place.FindStringSubmatch(strings.TrimSpace(want))
		if says == nil {
			continue // one of Caddy's own
		}
		form := slices.IndexFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(says[1]) })
		if form >= 0 {
			used[form] = true
			continue
		}
		if says[1] == "broken on purpose" || strings.HasPrefix(says[1], "unrecognized matcher") { // by a test's broker; by Caddy
			continue
		}
		line, _ := strconv.Atoi(says[2])
		kind := regexp.MustCompile(`"[^"]*"|:\d+`).ReplaceAllString(says[1], "…")
		if rows[kind] == "" {
			rows[kind] = fmt.Sprintf("| `%s` | `%s` |\n", cell(says[1]), cell(causeOf(says[1], strings.Split(source, "\n")[line-1:])))
		}
	}
	for i, used := range used {
		if !used {
			t.Errorf("no test of a Caddyfile has %q", general[i])
		}
	}
	list := "\n| error | a line that causes it |\n|---|---|\n" + strings.Join(slices.Sorted(maps.Values(rows)), "")
	if *update {
		if err := os.WriteFile(filepath.Join(top, errorsPage), []byte(own+configErrors+list), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != list {
		t.Errorf("%s is not what the tests say: cd test && go test -run TestErrorsOfCaddyfileAreDocumented ./house -update", errorsPage)
	}
}

// causeOf returns the line of a Caddyfile that an error is about: the one of the innermost option that it names, or else the first.
func causeOf(says string, lines []string) string {
	cause := lines[0]
	if strings.HasSuffix(cause, "{") {
		for _, name := range strings.Split(says, ": ") {
			for _, line := range lines {
				if words := strings.Fields(line); len(words) > 0 && words[0] == name {
					cause = line
					break
				}
			}
		}
	}
	cause = strings.TrimSuffix(strings.Join(strings.Fields(cause), " "), " {")
	const most = 80
	if runes := []rune(cause); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return cause
}
