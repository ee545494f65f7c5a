package house

import (
	"cmp"
	"fmt"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/sse-push/caddy-sse-push"

// maxCircle is how many files of a package may use each other in a circle. A reader of one of them has to know them all.
const maxCircle = 6

// bounds are those of packages that were there before the rule. They may be lowered, not raised; 1 is no circle at all.
var bounds = map[string]int{
	"broker/filebroker":  7,
	"broker/natsbroker":  11,
	"broker/redisbroker": 3,
	"internal/doctor":    1,
	"internal/hub":       45,
	"internal/sse":       1,
	"internal/stream":    5,
	"test/harness":       3,
}

// A file uses another one if it names what that declares: a type, a function, a method, a field, a variable, a constant.
// Files that use each other, directly or through others, are a circle. With -v, each package's largest is printed.
func TestCirclesOfFiles(t *testing.T) {
	loaded := append(load(t, top, "./..."), load(t, filepath.Join(top, "test"), "./harness")...)
	for _, p := range loaded {
		name := strings.TrimPrefix(strings.TrimPrefix(p.PkgPath, module), "/")
		if name != "test/harness" && isTest(name+"/") {
			continue
		}
		bound, ok := bounds[name]
		if !ok {
			bound = maxCircle
		}
		g := usesOf(p)
		circles := circlesOf(g)
		largest := 1
		if len(circles) > 0 {
			largest = len(circles[0])
		}
		t.Logf("%2d of %2d files in a circle, %2d allowed: %s", largest, len(g), bound, cmp.Or(name, "the root"))
		for _, circle := range circles {
			if len(circle) > bound {
				t.Errorf("%s: %d files use each other in a circle, where %d are allowed. Move what both ends of a use need "+
					"to a file that uses neither, or pass it in. The circle:\n%s", cmp.Or(name, "the root"), len(circle), bound, g.describe(circle))
			}
		}
	}
	for name := range bounds {
		if !slices.ContainsFunc(loaded, func(p *packages.Package) bool {
			return strings.TrimPrefix(strings.TrimPrefix(p.PkgPath, module), "/") == name
		}) {
			t.Errorf("there is no package %q: take it out of bounds", name)
		}
	}
}

// load type-checks packages.
func load(t *testing.T, folder string, patterns ...string) []*packages.Package {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{
		Dir:  folder,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded {
		for _, e := range p.Errors {
			t.Fatal(e)
		}
	}
	return loaded
}

// graph has the files that a file uses, and the names by which it does.
type graph map[string]map[string][]string

func usesOf(p *packages.Package) graph {
	g := graph{}
	fileOf := func(pos token.Pos) string { return filepath.Base(p.Fset.Position(pos).Filename) }
	for _, file := range p.Syntax {
		g[fileOf(file.FileStart)] = map[string][]string{}
	}
	for ident, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types || !object.Pos().IsValid() {
			continue
		}
		from, to := fileOf(ident.Pos()), fileOf(object.Pos())
		if from != to && !slices.Contains(g[from][to], object.Name()) {
			g[from][to] = append(g[from][to], object.Name())
		}
	}
	return g
}

// describe lists the uses within a circle.
func (g graph) describe(circle []string) string {
	var b strings.Builder
	for _, from := range circle {
		for _, to := range circle {
			if names := g[from][to]; len(names) > 0 {
				slices.Sort(names)
				fmt.Fprintf(&b, "  %s uses %s: %s\n", from, to, strings.Join(names, ", "))
			}
		}
	}
	return b.String()
}

// circlesOf returns the sets of files that reach each other, the largest first.
func circlesOf(g graph) [][]string {
	reach := map[string]map[string]bool{}
	for file := range g {
		reach[file] = map[string]bool{}
		for todo := []string{file}; len(todo) > 0; {
			at := todo[0]
			todo = todo[1:]
			for next := range g[at] {
				if !reach[file][next] {
					reach[file][next] = true
					todo = append(todo, next)
				}
			}
		}
	}
	var circles [][]string
	done := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(g)) {
		if done[file] || !reach[file][file] {
			continue
		}
		var circle []string
		for other := range reach[file] {
			if reach[other][file] {
				circle = append(circle, other)
				done[other] = true
			}
		}
		slices.Sort(circle)
		circles = append(circles, circle)
	}
	slices.SortStableFunc(circles, func(a, b []string) int { return len(b) - len(a) })
	return circles
}
