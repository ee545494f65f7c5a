package ssepush_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
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

// Who may import whom.
func TestDependencies(t *testing.T) {
	packages := listPackages(t)
	for _, path := range []string{
		"",
		"/broker",
		"/broker/brokertest",
		"/broker/filebroker",
		"/broker/membroker",
		"/cmd/caddy",
		"/internal/api",
		"/internal/asynclog",
		"/internal/command",
		"/internal/fair",
		"/internal/hub",
		"/internal/identity",
		"/internal/instruction",
		"/internal/metrics",
		"/internal/pool",
		"/internal/problem",
		"/internal/reach",
		"/internal/rules",
		"/internal/secret",
		"/internal/sse",
		"/internal/stream",
		"/internal/subscribe",
	} {
		if packages[module+path].ImportPath == "" {
			t.Fatalf("there is no package %s", module+path)
		}
	}
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
	for _, dep := range packages[module+"/internal/problem"].Deps {
		if strings.HasPrefix(dep, "github.com/caddyserver/") || ours(dep) && dep != module+"/internal/problem" {
			t.Errorf("internal/problem reaches %s", dep)
		}
	}
	importsOnly := func(path string, below ...string) {
		for _, dep := range packages[module+path].Imports {
			if rest, ok := strings.CutPrefix(dep, module+"/"); dep == module || ok && !slices.Contains(below, strings.TrimPrefix(rest, "internal/")) {
				t.Errorf("%s imports %s", module+path, dep)
			}
		}
	}
	importsOnly("/internal/api", "broker", "decode", "hub", "identity", "pool", "problem", "publish", "request", "rules")
	importsOnly("/internal/metrics", "hub")
	importsOnly("/internal/inspector", "api", "hub", "pool", "problem", "request", "rules", "secret", "sse", "stream")
	importsOnly("/internal/reach")
	importsOnly("/internal/upstream", "broker", "decode", "hub", "identity", "instruction", "pool", "problem", "publish", "request", "rules", "sse", "stream", "subscribe")
	importsOnly("/internal/identity", "fair", "instruction", "jsontext", "placeholder", "problem", "request", "rules", "secret", "sse")
	importsOnly("/internal/command", "broker", "api", "doctor", "identity", "rules", "secret", "sse") // the hub's answers it has from api
	importsOnly("/internal/pool", "broker", "asynclog", "hub", "identity", "problem", "rules", "secret", "sse", "stream")
	importsOnly("/internal/subscribe", "guard", "hub", "identity", "pool", "problem", "request", "rules", "sse", "stream")
	if slices.Contains(packages[module+"/internal/identity"].Deps, module+"/internal/hub") {
		t.Error("internal/identity reaches internal/hub")
	}
	if slices.Contains(packages[module+"/internal/hub"].Deps, "net/http") {
		t.Error("internal/hub reaches net/http")
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
	// It would bring half a megabyte of what is not used.
	if slices.Contains(packages[module+"/broker/natsbroker"].Deps, "github.com/nats-io/nats.go/jetstream") {
		t.Error("natsbroker links NATS' jetstream package")
	}
	for _, dep := range packages[module].Deps {
		if strings.Contains(dep, "redis") || strings.Contains(dep, "valkey") || strings.Contains(dep, "nats") {
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
