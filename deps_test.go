package ssepush_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sse-push/caddy-sse-push"

// listed is what go list says of a package.
type listed struct {
	ImportPath    string
	Standard      bool
	Imports, Deps []string // Deps: all that it reaches
}

// listPackages returns the packages of this module, with all that they reach.
func listPackages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	packages := map[string]listed{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// floors returns the floor of each package in the map of CONTRIBUTING.md. Packages of tests have none.
func floors(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `([a-z0-9/]+)` \\|").FindAllStringSubmatch(string(b), -1) {
		if found[row[2]], err = strconv.Atoi(row[1]); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Packages for tests, which no other package imports.
var suites = []string{"internal/hubtest", "internal/sharedlog", "internal/sitetest", "broker/brokertest"}

// Every package has its place in the map of CONTRIBUTING.md, and imports only from the floors below it.
func TestFloors(t *testing.T) {
	packages, floors := listPackages(t), floors(t)
	for name := range floors {
		if packages[module+"/"+name].ImportPath == "" {
			t.Errorf("CONTRIBUTING.md has a package %s, which does not exist", name)
		}
	}
	for path, p := range packages {
		name, ok := strings.CutPrefix(path, module+"/")
		if !ok || slices.Contains(suites, name) {
			continue
		}
		floor, known := floors[name]
		if strings.HasPrefix(name, "internal/") && !known {
			t.Errorf("%s is not in the map of CONTRIBUTING.md", name)
		}
		for _, dep := range p.Imports {
			below, ok := strings.CutPrefix(dep, module+"/")
			switch {
			case !ok:
			case slices.Contains(suites, below):
				t.Errorf("%s imports %s, which is for tests", name, below)
			case known && floors[below] >= floor:
				t.Errorf("%s, on floor %d, imports %s, on floor %d", name, floor, below, floors[below])
			}
		}
	}
}

// The files that CONTRIBUTING.md names exist.
func TestMapNamesFiles(t *testing.T) {
	b, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		files = append(files, "/"+filepath.ToSlash(path))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([a-z_/]+\\.go)`").FindAllStringSubmatch(string(b), -1)
	if len(names) < 20 {
		t.Fatalf("only %d files are named", len(names))
	}
	for _, name := range names {
		if !slices.ContainsFunc(files, func(path string) bool { return strings.HasSuffix(path, "/"+name[1]) }) {
			t.Errorf("CONTRIBUTING.md names %s, which does not exist", name[1])
		}
	}
}

// Who may import whom.
func TestDependencies(t *testing.T) {
	packages := listPackages(t)
	ours := func(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

	onlyStandardAnd := func(path string, more ...string) {
		for _, dep := range packages[module+path].Deps {
			if rest := strings.TrimPrefix(dep, module); !packages[dep].Standard && !slices.Contains(more, rest) {
				t.Errorf("%s reaches %s", module+path, dep)
			}
		}
	}
	onlyStandardAnd("/broker")
	onlyStandardAnd("/broker/brokertest", "/broker")
	onlyStandardAnd("/internal/asynclog")
	onlyStandardAnd("/internal/fair")
	onlyStandardAnd("/internal/instruction")
	onlyStandardAnd("/internal/jsontext")
	onlyStandardAnd("/internal/placeholder")
	onlyStandardAnd("/internal/secret", "/internal/placeholder")
	onlyStandardAnd("/internal/sse")
	onlyStandardAnd("/internal/rules", "/broker")
	onlyStandardAnd("/internal/hub", "/broker", "/internal/rules", "/internal/sse")
	reachesNone := func(path string, prefixes ...string) {
		for _, dep := range packages[module+path].Deps {
			if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(dep, prefix) }) {
				t.Errorf("%s reaches %s", path, dep)
			}
		}
	}
	const caddy, theHub, thePool = "github.com/caddyserver/", module + "/internal/hub", module + "/internal/pool"
	for _, path := range []string{"/internal/decode", "/internal/problem", "/internal/publish", "/internal/stream"} {
		reachesNone(path, caddy+"caddy/v2/modules/caddyhttp")
	}
	reachesNone("/internal/problem", caddy)
	reachesNone("/internal/hub", "net/http")
	reachesNone("/internal/rules", "net/http")
	reachesNone("/internal/sse", "net/http")
	reachesNone("/internal/decode", theHub)
	reachesNone("/internal/identity", theHub, thePool)
	// It uses the types of the api's answers, and calls no function of a hub.
	for _, dep := range packages[module+"/internal/command"].Imports {
		if dep == theHub || dep == thePool {
			t.Errorf("internal/command imports %s", dep)
		}
	}

	for path, p := range packages {
		if !ours(path) {
			continue
		}
		rest := strings.TrimPrefix(path, module)
		if slices.Contains(p.Imports, module) && rest != "/cmd/caddy" {
			t.Errorf("%s imports the root package", path)
		}
		if strings.HasPrefix(rest, "/broker/") {
			for _, dep := range p.Deps {
				// What apps write into Redis themselves follows the same rules as what they publish.
				rules := rest == "/broker/redisbroker" && dep == module+"/internal/rules"
				if strings.HasPrefix(dep, module+"/internal/") && !rules && dep != module+"/internal/asynclog" {
					t.Errorf("%s reaches %s", path, dep)
				}
			}
			if strings.HasSuffix(rest, "broker") && !slices.Contains(packages[module+"/cmd/caddy"].Deps, path) {
				t.Errorf("cmd/caddy does not link %s", path)
			}
		}
	}
	if !slices.Contains(packages[module+"/cmd/caddy"].Deps, module+"/mercure") {
		t.Error("cmd/caddy does not link mercure")
	}
	// It would bring half a megabyte of what is not used.
	if slices.Contains(packages[module+"/broker/natsbroker"].Deps, "github.com/nats-io/nats.go/jetstream") {
		t.Error("natsbroker links NATS' jetstream package")
	}
	for _, dep := range packages[module].Deps {
		guest := strings.Contains(dep, "redis") || strings.Contains(dep, "valkey") || strings.Contains(dep, "nats") ||
			strings.HasPrefix(dep, "github.com/yosida95/uritemplate") || dep == module+"/mercure" || dep == module+"/internal/matcher"
		if guest {
			t.Errorf("the root package links %s", dep)
		}
	}
}

// Only one file knows how a Caddyfile becomes a site's config.
func TestOnlyCaddyfileImportsHTTPCaddyfile(t *testing.T) {
	const httpcaddyfile = "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if name, _ := strconv.Unquote(spec.Path.Value); name == httpcaddyfile {
				found = append(found, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found, []string{"caddyfile.go"}) {
		t.Errorf("httpcaddyfile is imported by %q", found)
	}
}
