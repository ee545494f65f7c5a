package house

import (
	"go/ast"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wordList has the words that are right here, and that a dictionary of British English does not have.
const wordList = "test/words.txt"

// What users and contributors read has no spelling mistakes: documents, comments of exported things, help and messages.
func TestSpelling(t *testing.T) {
	places := map[string]string{} // where each word stands first
	add := func(place, text string) {
		for _, word := range words(text) {
			if _, known := places[word]; !known {
				places[word] = place
			}
		}
	}
	documentTexts(t, add)
	commentTexts(t, add)
	messageTexts(t, add)
	if len(places) < 2000 {
		t.Errorf("only %d words: are the texts still found?", len(places))
	}
	list, err := os.ReadFile(filepath.Join(top, wordList))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Fields(string(list))
	if !slices.IsSorted(own) {
		t.Errorf("%s is not sorted: LC_ALL=C sort -u", wordList)
	}
	unknown := misspelled(t, slices.Sorted(maps.Keys(places)))
	for _, word := range unknown {
		if !slices.Contains(own, word) {
			t.Errorf("%s: %s; correct it, or add it to %s if it is right", places[word], word, wordList)
		}
	}
	for _, word := range own {
		if places[word] == "" {
			t.Errorf("%s has %s, which no text needs", wordList, word)
		}
	}
}

// misspelled returns the words that the dictionary does not have.
func misspelled(t *testing.T, all []string) []string {
	t.Helper()
	cmd := exec.Command("hunspell", "-d", "en_GB", "-i", "utf-8", "-l")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(strings.Join(all, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hunspell: %v", err)
	}
	return strings.Fields(string(out))
}

var (
	fenced = regexp.MustCompile("(?ms)^[ \t]*```([a-z]*)\n(.*?)^[ \t]*```")
	quoted = regexp.MustCompile("`[^`]*`")
	link   = regexp.MustCompile(`\]\([^)]*\)|<[^>\n]*>|&[a-z]+;`)
	chunk  = regexp.MustCompile(`[^\s"“”,;:!?()\[\]{}|*…·–<>=+&→]+`)
	plain  = regexp.MustCompile(`^[A-Za-z]?[a-zà-ÿ]+(?:['’](?:[a-z]+))?$`)
)

// words returns the words of a text in prose. What is no plain word, such as a name in code, is left out.
func words(text string) (found []string) {
	text = link.ReplaceAllString(quoted.ReplaceAllString(text, " "), "] ")
	for _, word := range chunk.FindAllString(text, -1) {
		for part := range strings.SplitSeq(strings.Trim(word, `.'’-_#%`), "-") {
			part = strings.TrimSuffix(strings.TrimSuffix(strings.ReplaceAll(part, "’", "'"), "'s"), "'")
			if plain.MatchString(part) && len(part) > 1 {
				found = append(found, part)
			}
		}
	}
	return found
}

// documentTexts finds the prose of documents, and what commands print as their help.
func documentTexts(t *testing.T, add func(place, text string)) {
	all := pages(t)
	for _, pattern := range []string{"*.md", "examples/*/README.md", "examples/*/*/README.md", "clients/*/README.md", "findings/*.md", "bench/*.md"} {
		paths, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(path, top+"/")] = string(text)
		}
	}
	for path, text := range all {
		add(path, fenced.ReplaceAllStringFunc(text, func(block string) string {
			if parts := fenced.FindStringSubmatch(block); parts[1] == "text" {
				return parts[2]
			}
			return ""
		}))
	}
}

// commentTexts finds the comments of packages and of what they export.
func commentTexts(t *testing.T, add func(place, text string)) {
	_, files := sources(t)
	for _, file := range files {
		if isTest(file.path) {
			continue
		}
		comment := func(doc *ast.CommentGroup) { add(file.path, preformatted.ReplaceAllString(doc.Text(), "")) }
		comment(file.ast.Doc)
		for _, decl := range file.ast.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Name.IsExported() {
					comment(decl.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.IsExported() {
						comment(decl.Doc)
						comment(spec.Doc)
						ast.Inspect(spec.Type, func(n ast.Node) bool {
							if field, ok := n.(*ast.Field); ok && (len(field.Names) == 0 || field.Names[0].IsExported()) {
								comment(field.Doc)
								comment(field.Comment)
							}
							return true
						})
					}
				}
			}
		}
	}
}

// sayers are the functions that make errors and log lines.
var sayers = []string{"Errorf", "Errf", "New", "Field", "RetryLater", "Info", "Warn", "Error", "Debug", "Log", "complain"}

// messageTexts finds the texts of errors and log lines.
func messageTexts(t *testing.T, add func(place, text string)) {
	verb := regexp.MustCompile(`%[-+#0-9.*]*[a-z]`)
	each(t, func(path string, n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok && slices.Contains(sayers, lastName(call.Fun)) {
			for _, arg := range call.Args {
				if text, ok := literal(arg); ok && strings.Contains(text, " ") {
					add(path, verb.ReplaceAllString(text, " "))
				}
			}
		}
	})
}
