// Package placeholder finds Caddy's placeholders in options, and fills in those whose values are known when a config is loaded.
package placeholder

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Any matches any placeholder.
var Any = regexp.MustCompile(`\{[^{}]+\}`)

// AtLoad matches the placeholders that are filled in when the config is loaded.
var AtLoad = regexp.MustCompile(`\{(?:env|file|system)\.[^{}]+\}`)

// Settled returns the texts without placeholders of AtLoad: only these can be checked before they are filled in.
func Settled(texts ...string) []string {
	return slices.DeleteFunc(slices.Clone(texts), AtLoad.MatchString)
}

// Quotable matches the placeholders that an error may repeat. Anything else in braces may be part of a secret.
var Quotable = regexp.MustCompile(`\{(?:http|time|env|file|system)\.[\w.*-]+\}`)

// values has the values of placeholders, as a caddy.Replacer does.
type values interface {
	GetString(name string) (value string, known bool)
}

// FillIn returns a text with the placeholders of AtLoad filled in, and an error for one without a value.
func FillIn(text string, repl values) (filled string, err error) {
	if !AtLoad.MatchString(text) {
		return text, nil
	}
	filled = AtLoad.ReplaceAllStringFunc(text, func(p string) string {
		value, missing := valueOf(p, repl)
		if missing == nil && Quotable.MatchString(value) {
			missing = fmt.Errorf("%s stands for another placeholder, which is not filled in", p)
		}
		if missing != nil && err == nil {
			err = missing
		}
		return value
	})
	if err == nil && AtLoad.MatchString(filled) {
		err = fmt.Errorf("%s stands for another placeholder, which is not filled in", AtLoad.FindString(text))
	}
	return strings.TrimSpace(filled), err // files often end in a newline
}

func valueOf(p string, repl values) (string, error) {
	kind, name, _ := strings.Cut(strings.Trim(p, "{}"), ".")
	value, known := repl.GetString(kind + "." + name)
	if strings.TrimSpace(value) != "" {
		return value, nil
	}
	switch _, set := os.LookupEnv(name); {
	case !known:
		return "", fmt.Errorf("%s is not known", p)
	case kind == "env" && !set:
		return "", fmt.Errorf("%s: the environment variable %s is not set", p, name)
	case kind == "env":
		return "", fmt.Errorf("%s: the environment variable %s is empty", p, name)
	case kind == "file":
		return "", fmt.Errorf("%s: the file %s cannot be read, or is empty", p, name)
	}
	return "", fmt.Errorf("%s is empty", p)
}
