package house

import (
	"cmp"
	"fmt"
	"go/ast"
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

const detailsPage = "docs/reference/error-details.md"

// titles are headings of the page of errors. The page of details has them, too, in this order.
var titles = []string{"## The subscribe route", "## The internal route", "## Posts of pages", "## The inspector", "## Mercure"}

// values are folders whose errors say what a value must be, after the name of its field.
var values = []string{
	"internal/decode/", "internal/jsontext/", "internal/matcher/", "internal/request/", "internal/rules/", "mercure/internal/update/",
}

// untold are errors of a broker that only the hub hears.
var untold = []string{"ErrLost", "ErrTrimmed", "ErrUnknown"}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// detailOf returns a format as the page has it: with "…" for what differs.
func detailOf(format string) string {
	return strings.ReplaceAll(verb.ReplaceAllString(format, "…"), "%%", "%")
}

// problemOf returns the status and the detail of a problem that a call makes, if the code has its text.
func problemOf(call *ast.CallExpr, statuses map[string]int) (status int, detail string) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || lastName(selector.X) != "problem" {
		return 0, ""
	}
	format := map[string]int{"New": 1, "Field": 1, "RetryLater": 2}[selector.Sel.Name]
	if format == 0 || len(call.Args) <= format {
		return 0, ""
	}
	text, ok := literal(call.Args[format])
	if text = detailOf(text); !ok || strings.Trim(text, "…: ") == "" {
		return 0, ""
	}
	if selector.Sel.Name == "Field" {
		field, ok := literal(call.Args[0])
		if !ok {
			field = "…"
		}
		return http.StatusBadRequest, field + ": " + text
	}
	return statuses[lastName(call.Args[0])], text
}

// valueOf returns what an error says about a value.
func valueOf(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	if name := lastName(selector.X) + "." + selector.Sel.Name; name != "errors.New" && name != "fmt.Errorf" {
		return ""
	}
	text, _ := literal(call.Args[0])
	if text = detailOf(text); strings.Trim(text, "…: ") == "" {
		return ""
	}
	return text
}

// Each detail of an error answer in the code is on the page, which is written from the code.
func TestDetailsAreDocumented(t *testing.T) {
	statuses := statusesByName()
	rows := map[string]map[string]bool{}
	add := func(title, row string) {
		if rows[title] == nil {
			rows[title] = map[string]bool{}
		}
		rows[title][row] = true
	}
	const (
		ofLog    = "## The hub and its broker"
		ofValues = "## What a value must be"
	)
	each(t, func(path string, n ast.Node) {
		if spec, ok := n.(*ast.ValueSpec); ok && (path == "broker/broker.go" || path == "internal/hub/hub.go") && !slices.Contains(untold, spec.Names[0].Name) {
			for _, value := range spec.Values {
				if call, ok := value.(*ast.CallExpr); ok && valueOf(call) != "" {
					add(ofLog, fmt.Sprintf("| `%s` |\n", cell(valueOf(call))))
				}
			}
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		if status, detail := problemOf(call, statuses); detail != "" {
			if title, _ := doorOf(path); title != "" {
				add(title, fmt.Sprintf("| %s | `%s` |\n", cmp.Or(strings.TrimLeft(strconv.Itoa(status), "0"), "…"), cell(detail)))
			}
		}
		if detail := valueOf(call); detail != "" && slices.ContainsFunc(values, func(folder string) bool { return strings.HasPrefix(path, folder) }) {
			add(ofValues, fmt.Sprintf("| `%s` |\n", cell(detail)))
		}
	})
	var page strings.Builder
	page.WriteString("# Details of errors\n\nWhat `detail` says in an [error answer](errors.md), with `…` for what differs. This page is written from the code.\n")
	heads := map[string]string{
		ofLog:    "A 413, 422, 429, 503 or 507 says this, and what the engine behind the broker has said.\n\n| detail |\n|---|\n",
		ofValues: "A 400 says this after the name of the field or parameter; some also stand in errors of a config.\n\n| detail |\n|---|\n",
	}
	for _, title := range append(slices.Clone(titles), ofLog, ofValues) {
		head := cmp.Or(heads[title], "| status | detail |\n|---|---|\n")
		fmt.Fprintf(&page, "\n%s\n\n%s%s", title, head, strings.Join(slices.Sorted(maps.Keys(rows[title])), ""))
	}
	if *update {
		if err := os.WriteFile(filepath.Join(top, detailsPage), []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if pages(t)[detailsPage] != page.String() {
		t.Errorf("%s is not what the code says: cd test && go test -run TestDetailsAreDocumented ./house -update", detailsPage)
	}
}
