package sitetest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// How long a wrong secret takes to be refused says nothing of the right one: all are compared, in constant time, and by
// nothing else.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	secret := []string{"sum", "mac", "signature", "secret", "secrets", "tokens"}
	names := func(n ast.Node) bool {
		found := false
		ast.Inspect(n, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && (calls(call, "subtle.ConstantTimeCompare") || calls(call, "secret.Equal") || calls(call, "len")) {
				return false
			}
			if id, ok := n.(*ast.Ident); ok && slices.Contains(secret, id.Name) {
				found = true
			}
			return true
		})
		return found
	}
	by := map[string]string{"checkToken": "secret.Match", "signIn": "secret.Match", "read": "secret.Equal", "Match": "subtle.ConstantTimeCompare", "Equal": "subtle.ConstantTimeCompare"}
	compares := func(f *ast.FuncDecl) (times int) {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && by[f.Name.Name] != "" && calls(call, by[f.Name.Name]) {
				times++
			}
			return true
		})
		return times
	}
	found := map[string]bool{}
	top := sitetest.Repo(".")
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != top && slices.Contains([]string{"node_modules", "test", "bench", "broker", "clients"}, d.Name()):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			function, times := f.Name.Name, compares(f)
			if times == 0 {
				continue
			}
			if times > 1 || found[function] {
				t.Errorf("%s: %s is another comparison of secrets", path, function)
			}
			found[function] = true
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.RangeStmt:
					if names(n.X) {
						ast.Inspect(n.Body, func(n ast.Node) bool {
							switch n.(type) {
							case *ast.BranchStmt, *ast.ReturnStmt:
								t.Errorf("%s: %s stops at the first secret that fits", path, function)
							}
							return true
						})
					}
				case *ast.BinaryExpr:
					if (n.Op == token.EQL || n.Op == token.NEQ) && (names(n.X) || names(n.Y)) {
						t.Errorf("%s: %s compares a secret with %s", path, function, n.Op)
					}
				case *ast.CallExpr:
					for _, other := range []string{"bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Contains", "slices.Index", "slices.Equal"} {
						if calls(n, other) && slices.ContainsFunc(n.Args, func(arg ast.Expr) bool { return names(arg) }) {
							t.Errorf("%s: %s compares a secret by %s", path, function, other)
						}
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for function, comparison := range by {
		if !found[function] {
			t.Errorf("no function %s compares secrets by %s", function, comparison)
		}
	}
}

// calls reports whether a call is of a function, such as "len" or "bytes.Equal".
func calls(call *ast.CallExpr, name string) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == name
	case *ast.SelectorExpr:
		pkg, ok := f.X.(*ast.Ident)
		return ok && pkg.Name+"."+f.Sel.Name == name
	}
	return false
}
