package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// Caddy with the module compiles for the systems that releases are built for, tests included. Only types are checked, without the
// bodies of other modules' functions: that takes seconds, a build of everything minutes. As no file is for one architecture, one with
// 64 bits stands for all.
func TestSystems(t *testing.T) {
	workflow, err := os.ReadFile(filepath.Join(top, ".github", "workflows", "release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	systems := regexp.MustCompile(`\{os: (\w+), arch: (\w+)(?:, arm: "(\d)")?`).FindAllStringSubmatch(string(workflow), -1)
	if len(systems) < 7 {
		t.Fatalf("release.yml names %d systems", len(systems))
	}
	own, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{"linux": true} // all other tests run there
	for _, s := range systems {
		kind := s[1]
		if s[2] == "arm" {
			kind += ", 32 bits"
		}
		if checked[kind] {
			continue
		}
		checked[kind] = true
		t.Run(s[1]+"-"+s[2], func(t *testing.T) {
			found, err := packages.Load(&packages.Config{
				Mode:  packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes | packages.NeedModule,
				Dir:   own,
				Env:   append(os.Environ(), "GOOS="+s[1], "GOARCH="+s[2], "GOARM="+s[3], "CGO_ENABLED=0"),
				Tests: true,
				ParseFile: func(fset *token.FileSet, name string, text []byte) (*ast.File, error) {
					file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
					if file != nil && !strings.HasPrefix(name, own+string(filepath.Separator)) && filepath.Ext(name) == ".go" { // go list's own have no ending
						for _, d := range file.Decls {
							if f, ok := d.(*ast.FuncDecl); ok {
								f.Body = nil
							}
						}
					}
					return file, err
				},
			}, "./...")
			if err != nil {
				t.Fatal(err)
			}
			if len(found) < 50 {
				t.Fatalf("only %d packages", len(found))
			}
			for _, p := range found {
				for _, e := range p.Errors {
					t.Errorf("%s: %v", p.ID, e)
				}
			}
		})
	}
}
