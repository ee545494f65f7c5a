package house

import (
	"go/ast"
	"go/token"
	"testing"
)

const (
	// In lines.
	maxFile     = 400
	maxFunction = 140 // 80 once the root's long ones have been split
)

// Files and functions stay short enough to be read in one go. Tests may be longer.
func TestSizes(t *testing.T) {
	fset, files := sources(t)
	line := func(pos token.Pos) int { return fset.Position(pos).Line }
	for _, file := range files {
		if isTest(file.path) {
			continue
		}
		if n := fset.File(file.ast.FileStart).LineCount(); n > maxFile {
			t.Errorf("%s has %d lines, where %d are allowed: move one of its nouns to a file of its own", file.path, n, maxFile)
		}
		for _, decl := range file.ast.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := line(f.End()) - line(f.Pos()) + 1; n > maxFunction {
				t.Errorf("%s:%d: %s has %d lines, where %d are allowed: split it by what it does", file.path, line(f.Pos()), f.Name.Name, n, maxFunction)
			}
		}
	}
}
