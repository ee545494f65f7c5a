package house

import (
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/reference/json.md, and the list in docs/reference/errors.md")

const jsonPage = "docs/reference/json.md"

const jsonIntro = `# JSON

What the modules of this repository take in Caddy's [JSON config](https://caddyserver.com/docs/json/). A test writes this page from the code.
` + "`caddy adapt`" + ` shows the JSON of a Caddyfile. [The directive](directive.md) says which of its options have another name here.

A duration is a text such as ` + "`\"15s\"`" + `, or a number of nanoseconds. Sizes are numbers of bytes.
`

// The reference of the JSON config says what the code says.
func TestJSONReference(t *testing.T) {
	types := declared(t)
	var page strings.Builder
	page.WriteString(jsonIntro)
	golden, err := os.ReadFile(filepath.Join(top, "testdata/caddyfile/topics.caddyfiletest"))
	if err != nil {
		t.Fatal(err)
	}
	caddyfile, config, _ := strings.Cut(string(golden), "----------\n")
	fmt.Fprintf(&page, "\n```caddyfile\n%s```\n\nis in JSON\n\n```json\n%s```\n", caddyfile, config)
	modules := registered(t)
	if len(modules) < 9 {
		t.Errorf("the code has the modules %v; are they still registered as this test expects?", modules)
	}
	for _, id := range slices.Sorted(maps.Keys(modules)) {
		r := jsonReference{t: t, page: &page, types: types, places: map[string]string{}}
		r.module(id, modules[id])
	}
	if *update {
		if err := os.WriteFile(filepath.Join(top, jsonPage), []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if pages(t)[jsonPage] != page.String() {
		t.Errorf("%s is not what the code says: cd test && go test -run TestJSONReference ./house -update", jsonPage)
	}
}

// named is a type that the repository declares.
type named struct {
	spec    *ast.TypeSpec
	doc     string
	imports map[string]string // the packages that its file knows, by the names that it has for them
}

// declared returns the types of the module that users run, by their package's folder, a dot, and their name.
func declared(t *testing.T) map[string]named {
	t.Helper()
	found := map[string]named{}
	_, files := sources(t)
	for _, file := range files {
		if isTest(file.path) {
			continue
		}
		imports := map[string]string{}
		for _, spec := range file.ast.Imports {
			whole, _ := strconv.Unquote(spec.Path.Value)
			name := path.Base(whole)
			if name == "v2" {
				name = path.Base(path.Dir(whole))
			}
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imports[name] = whole
		}
		for _, decl := range file.ast.Decls {
			if decl, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						found[path.Dir(file.path)+"."+spec.Name.Name] = named{spec, prose(decl.Doc.Text() + spec.Doc.Text()), imports}
					}
				}
			}
		}
	}
	return found
}

// registered returns the Caddy modules of the repository: the names of their types, by their ids.
func registered(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	_, files := sources(t)
	for _, file := range files {
		if isTest(file.path) {
			continue
		}
		for _, decl := range file.ast.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name != "CaddyModule" {
				continue
			}
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if n, ok := n.(*ast.KeyValueExpr); ok && n.Key.(*ast.Ident).Name == "ID" {
					if id, ok := n.Value.(*ast.BasicLit); ok {
						found[strings.Trim(id.Value, `"`)] = path.Dir(file.path) + "." + receiver.(*ast.Ident).Name
					} else {
						t.Errorf("%s: the id of a module is no literal", file.path)
					}
				}
				return true
			})
		}
	}
	return found
}

// jsonReference writes what one module takes.
type jsonReference struct {
	t     *testing.T
	page  *strings.Builder
	types map[string]named
	// Where each type of object comes first.
	places map[string]string
	// The types of objects that are still to be written, in order.
	objects []string
}

// module writes a section for a module, and one for each object in its config.
func (r *jsonReference) module(id, name string) {
	_, says, _ := strings.Cut(r.types[name].doc, " ") // without the type's name
	if says == "" {
		r.t.Fatalf("%s has no comment", name)
	}
	fmt.Fprintf(r.page, "\n## %s\n\n%s\n", id, strings.ToUpper(says[:1])+says[1:])
	r.table(r.rows(name, ""))
	for len(r.objects) > 0 {
		object := r.objects[0]
		r.objects = r.objects[1:]
		fmt.Fprintf(r.page, "\n### %s\n", r.places[object])
		r.table(r.rows(object, r.places[object]))
	}
}

func (r *jsonReference) table(rows []string) {
	if len(rows) == 0 {
		fmt.Fprint(r.page, "\nIt has no options.\n")
		return
	}
	fmt.Fprintf(r.page, "\n| field | type | meaning | default |\n|---|---|---|---|\n%s", strings.Join(rows, ""))
}

// byDefault is the sentence of a comment that says what holds without the field.
var byDefault = regexp.MustCompile(`^(.*?)\s*\bDefault: (.*?)\.(?: (.*))?$`)

// rows returns a row for each field of an object.
func (r *jsonReference) rows(name, place string) (rows []string) {
	structure, ok := r.types[name].spec.Type.(*ast.StructType)
	if !ok {
		r.t.Errorf("%s is no struct", name)
		return nil
	}
	for _, field := range structure.Fields.List {
		if len(field.Names) == 0 {
			embedded, _ := r.resolve(field.Type, name)
			rows = append(rows, r.rows(embedded, place)...)
			continue
		}
		if field.Tag == nil || !field.Names[0].IsExported() {
			continue
		}
		tag, _ := strconv.Unquote(field.Tag.Value)
		key, how, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		in := strings.TrimPrefix(place+"."+key, ".")
		doc, without := oneLine(field.Doc.Text()+field.Comment.Text()), "required"
		if parts := byDefault.FindStringSubmatch(doc); parts != nil {
			doc, without = strings.TrimSpace(parts[1]+" "+parts[3]), parts[2]
		} else if strings.Contains(how, "omitempty") {
			var required bool
			if doc, required = strings.CutSuffix(doc, " Required."); !required {
				r.t.Errorf("the comment of %s.%s ends neither with \"Default: ….\" nor with \"Required.\"", name, field.Names[0])
			}
		}
		if regexp.MustCompile("<[a-z]").MatchString(regexp.MustCompile("`[^`]*`").ReplaceAllString(doc+without, "")) {
			r.t.Errorf("the comment of %s.%s has a placeholder in angle brackets that is not in backticks", name, field.Names[0])
		}
		if doc == "" {
			r.t.Errorf("%s.%s has no comment that says what it is", name, field.Names[0])
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", key, r.kind(field, name, in), cell(doc), cell(without)))
	}
	return rows
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// preformatted are the lines of a comment that are no prose.
var preformatted = regexp.MustCompile(`(?m)^[ \t].*$`)

// prose returns the text of a comment without its preformatted blocks.
func prose(text string) string { return oneLine(preformatted.ReplaceAllString(text, "")) }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

var (
	namespace = regexp.MustCompile(`namespace=([a-z_.]+)`)
	inlineKey = regexp.MustCompile(`inline_key=([a-z_]+)`)
)

// kind says what a field takes. It is of the type of that name, and stands at that place of the config.
func (r *jsonReference) kind(field *ast.Field, of, place string) string {
	if in := namespace.FindStringSubmatch(field.Tag.Value); in != nil {
		if key := inlineKey.FindStringSubmatch(field.Tag.Value); key != nil {
			return fmt.Sprintf("a module of `%s`, named by `%s`", in[1], key[1])
		}
		return fmt.Sprintf("modules of `%s`, by name", in[1])
	}
	return r.value(field.Type, of, place, "")
}

// value names a type of values; plural is "s" if there are many.
func (r *jsonReference) value(typ ast.Expr, of, place, plural string) string {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return r.value(typ.X, of, place, plural)
	case *ast.ArrayType:
		return "list of " + r.value(typ.Elt, of, place, "s")
	case *ast.MapType:
		return "object of " + r.value(typ.Value, of, place, "s")
	}
	name, declared := r.resolve(typ, of)
	if !declared {
		kind := map[string]string{
			"bool": "boolean", "int": "number", "int64": "number", "uint64": "number", "string": "text",
			"github.com/caddyserver/caddy/v2.Duration": "duration",
		}[name]
		if kind == "" {
			r.t.Errorf("%s: this test has no name for values of %s", place, name)
		}
		return kind + plural
	}
	if _, ok := r.types[name].spec.Type.(*ast.StructType); !ok {
		return r.value(r.types[name].spec.Type, name, place, plural)
	}
	first, known := r.places[name]
	if !known {
		first, r.places[name] = place, place
		r.objects = append(r.objects, name)
	}
	anchor := strings.ReplaceAll(first, ".", "")
	return fmt.Sprintf("[object%s](#%s)", plural, anchor)
}

// resolve returns the whole name of a type that another one mentions, and whether the repository declares it.
func (r *jsonReference) resolve(typ ast.Expr, of string) (name string, declared bool) {
	switch typ := typ.(type) {
	case *ast.Ident:
		name = of[:strings.LastIndex(of, ".")] + "." + typ.Name
		if _, declared = r.types[name]; !declared {
			return typ.Name, false
		}
	case *ast.SelectorExpr:
		pkg := r.types[of].imports[typ.X.(*ast.Ident).Name]
		name = strings.TrimPrefix(pkg, module+"/") + "." + typ.Sel.Name
		_, declared = r.types[name]
	}
	return name, declared
}
