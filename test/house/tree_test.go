// Package house checks the layout of the source: how long files and functions are, how far the files of a package lean on
// each other, and what files are called.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// top is the folder of the repository.
const top = "../.."

// source is a Go file of the repository.
type source struct {
	path string // below top, with slashes
	ast  *ast.File
}

// isTest reports whether a file serves tests only, or measures.
func isTest(path string) bool {
	for _, folder := range []string{"bench/", "broker/brokertest/", "internal/hubtest/", "internal/sitetest/", "test/"} {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return strings.HasSuffix(path, "_test.go")
}

// tree is the source of the repository, parsed.
type tree struct {
	fset  *token.FileSet
	files []source
	err   error
}

var parsed = sync.OnceValue(parse)

// sources returns every Go file of the repository, all its modules included.
func sources(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	all := parsed()
	if all.err != nil {
		t.Fatal(all.err)
	}
	if len(all.files) < 100 {
		t.Fatalf("only %d Go files below %s: is this still the top of the repository?", len(all.files), top)
	}
	return all.fset, all.files
}

func parse() tree {
	fset := token.NewFileSet()
	var found []source
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != top && (name == "node_modules" || strings.HasPrefix(name, ".")):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(top, path)
		found = append(found, source{filepath.ToSlash(below), file})
		return err
	})
	return tree{fset, found, err}
}
