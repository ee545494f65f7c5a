package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestMain(m *testing.M) { os.Exit(sitetest.Run(m)) }

var update = flag.Bool("update", false, "rewrite testdata/surface.txt")

// What users write into their configs and dashboards stays as it is: the names of the modules, the keys of their JSON, and
// the metrics. The adapted Caddyfiles are in testdata/caddyfile, the commands' help in docs/reference/commands.md.
func TestSurface(t *testing.T) {
	var lines []string
	for _, module := range caddy.Modules() {
		if strings.Contains(module, "sse_push") {
			info, err := caddy.GetModule(module)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, "module "+module)
			for _, key := range jsonKeys(reflect.TypeOf(info.New()), nil) {
				lines = append(lines, "json "+module+" "+key)
			}
		}
	}
	s := sitetest.Serve(t, sitetest.Route("")+sitetest.Metrics)
	for line := range strings.Lines(s.Do("GET", "/metrics", "").Body) {
		if name, ok := strings.CutPrefix(line, "# TYPE sse_push_"); ok {
			lines = append(lines, "metric sse_push_"+strings.TrimSpace(name))
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/surface.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the public surface has changed; if that is meant: go test -run TestSurface ./cmd/caddy -update\n%s", diffLines(string(want), got))
	}
}

// jsonKeys lists the keys that a type has in JSON, with their kinds.
func jsonKeys(t reflect.Type, above []reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(above, t) || t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			keys = append(keys, jsonKeys(field.Type, append(above, t))...)
		case field.IsExported() && name != "" && name != "-":
			keys = append(keys, fmt.Sprintf("%s %s", name, field.Type.Kind()))
			for _, below := range jsonKeys(field.Type, append(above, t)) {
				keys = append(keys, name+"."+below)
			}
		}
	}
	return keys
}

// diffLines says which lines are missing and which are new.
func diffLines(want, got string) (diff string) {
	before, after := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range before {
		if !slices.Contains(after, line) {
			diff += "- " + line + "\n"
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			diff += "+ " + line + "\n"
		}
	}
	return diff
}
