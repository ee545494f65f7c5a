package decode

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The fields of an event are those that the reference has, in words and for tools.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/reference/http-api.md does not name the field %s", name)
		}
	}
	description, err := os.ReadFile("../../docs/reference/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, event, _ := strings.Cut(string(description), "\n    Event:\n")
	event, _, _ = strings.Cut(event, "\n    Published:\n")
	var described []string
	for _, match := range regexp.MustCompile(`(?m)^        ([a-z_]+):`).FindAllStringSubmatch(event, -1) {
		described = append(described, match[1])
	}
	slices.Sort(described)
	if want := slices.Sorted(maps.Keys(fields)); !slices.Equal(described, want) {
		t.Errorf("docs/reference/openapi.yaml describes the fields %v, want %v", described, want)
	}
}
