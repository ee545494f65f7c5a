package ssepush

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// optionsOf returns the names of all options in the JSON of a type, those that hold others among them.
func optionsOf(typ reflect.Type, name string) (found []string) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
		typ = typ.Elem()
	}
	if name != "" {
		found = []string{name}
	}
	if typ.Kind() != reflect.Struct {
		return found
	}
	for i := range typ.NumField() {
		field := typ.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous {
			found = append(found, optionsOf(field.Type, name)...)
		} else if tag != "" {
			found = append(found, optionsOf(field.Type, strings.TrimPrefix(name+"."+tag, "."))...)
		}
	}
	return found
}

// The table of names that differ in JSON is true, and complete.
func TestJSONNames(t *testing.T) {
	reference, err := os.ReadFile("docs/reference/directive.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(reference), "| Caddyfile | JSON |\n|---|---|\n")
	if !found {
		t.Fatal("docs/reference/directive.md has no table of names")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	known := optionsOf(reflect.TypeFor[Handler](), "")
	inCaddyfile := ""
	name := regexp.MustCompile("`([a-z_.]+)`")
	for row := range strings.Lines(table) {
		columns := strings.Split(row, "|")
		inCaddyfile += columns[1]
		for _, match := range name.FindAllStringSubmatch(columns[2], -1) {
			if n := match[1]; !slices.Contains(known, n) && n != "placeholder" && n != "name" {
				t.Errorf("docs/reference/directive.md names %s, which is not there", n)
			}
		}
	}
	check := func(within string, options []block.Option) {
		for i := range options {
			in := strings.TrimPrefix(within+"."+options[i].Name(), ".")
			if !slices.Contains(known, in) && !regexp.MustCompile("[` ]"+options[i].Name()+"[` ]").MatchString(inCaddyfile) {
				t.Errorf("%s is not %s in JSON, and docs/reference/directive.md does not say what it is", options[i].Name(), in)
			}
		}
	}
	h := &Handler{Path: "/events"}
	options := handlerOptions(h)
	check("", options)
	for i := range options {
		check(options[i].Name(), options[i].Block)
	}
	for _, source := range []identity.UserSource{
		{Source: "ticket", Ticket: new(identity.Ticket)}, {Source: "jwt", JWT: new(identity.JWT)}, {Source: "authorize", Authorize: new(identity.Authorize)},
	} {
		check("users."+source.Source, userOptions(&source))
	}
}
