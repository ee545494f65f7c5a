package sitetest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
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
	for _, where := range []struct{ file, function, by string }{
		{"internal/guard/guard.go", "checkToken", "secret.Match"}, {"inspectorsession.go", "signIn", "secret.Match"}, {"ticket.go", "read", "secret.Equal"},
		{"internal/secret/secret.go", "Match", "subtle.ConstantTimeCompare"}, {"internal/secret/secret.go", "Equal", "subtle.ConstantTimeCompare"},
	} {
		file, function := where.file, where.function
		parsed, err := parser.ParseFile(token.NewFileSet(), sitetest.Repo(file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name != function {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.RangeStmt:
					if names(n.X) {
						ast.Inspect(n.Body, func(n ast.Node) bool {
							switch n.(type) {
							case *ast.BranchStmt, *ast.ReturnStmt:
								t.Errorf("%s: %s stops at the first secret that fits", file, function)
							}
							return true
						})
					}
				case *ast.BinaryExpr:
					if (n.Op == token.EQL || n.Op == token.NEQ) && (names(n.X) || names(n.Y)) {
						t.Errorf("%s: %s compares a secret with %s", file, function, n.Op)
					}
				case *ast.CallExpr:
					if calls(n, where.by) {
						compared++
					}
					for _, other := range []string{"bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Contains", "slices.Index", "slices.Equal"} {
						if calls(n, other) && slices.ContainsFunc(n.Args, func(arg ast.Expr) bool { return names(arg) }) {
							t.Errorf("%s: %s compares a secret by %s", file, function, other)
						}
					}
				}
				return true
			})
		}
		if compared != 1 {
			t.Errorf("%s: %s compares %d times in constant time", file, function, compared)
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
