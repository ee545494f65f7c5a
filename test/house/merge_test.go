package house

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No file still has the marks of a merge that was not resolved: compilers see them in code, and nobody in the files of tools.
func TestNoMarksOfMerges(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() {
			if path != top && (name == "node_modules" || strings.HasPrefix(name, ".") && name != ".github") {
				return filepath.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 4<<20 { // what was built
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, mark := range []string{"<", ">"} {
			if bytes.Contains(text, []byte("\n"+strings.Repeat(mark, 7)+" ")) {
				t.Errorf("%s has marks of a merge", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 300 {
		t.Fatalf("only %d files below %s: is this still the top of the repository?", seen, top)
	}
}
