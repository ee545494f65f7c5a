package house

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// A file is named by the noun that its reader looks for, with an underscore between words. So commandpublish.go beside command.go
// is a folder that has not been made: command/publish.go. And what all tests of trouble have in common is trouble, not the weather.
func TestNames(t *testing.T) {
	_, files := sources(t)
	stems := map[string][]string{} // by folder
	var words []string
	for _, file := range files {
		folder, name := path.Split(file.path)
		stem := strings.TrimSuffix(strings.TrimSuffix(name, ".go"), "_test")
		if !slices.Contains(stems[folder], stem) {
			stems[folder] = append(stems[folder], stem)
		}
		words = append(words, stem, path.Base(folder))
	}
	for folder, names := range stems {
		for _, name := range names {
			if strings.HasPrefix(name, "weather") {
				t.Errorf("%s%s.go: name what goes wrong in it: trouble%s", folder, name, strings.TrimPrefix(name, "weather"))
			}
			for _, first := range names {
				rest, ok := strings.CutPrefix(name, first)
				if ok && len(rest) > 2 && rest[0] != '_' && slices.Contains(words, rest) {
					t.Errorf("%s%s.go joins two names: %s_%s.go, or a folder %s with %s.go", folder, name, first, rest, first, rest)
				}
			}
		}
	}
}
