package placeholder

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Treatment says which placeholders an option takes. It stands in the tag of the option's field:
//
//	Path string `json:"path" placeholders:"none"`
//
// A field without the tag takes those that are filled in when the config is loaded.
type Treatment string

const (
	// Load options take {env.*}, {file.*} and {system.*}, which are filled in when the config is loaded, and no others.
	Load Treatment = ""
	// None options take no placeholders: they are compared as they stand, or are one of a few words.
	None Treatment = "none"
	// Key options are as Load, and may hold braces of their own, as a JSON Web Key does.
	Key Treatment = "key"
	// Request options take all placeholders, which are filled in for each request. Those of Load must have a value at load too.
	Request Treatment = "request"
	// Guest options are the JSON of another module, which fills in the placeholders that Load options take.
	Guest Treatment = "guest"
)

const (
	tagName = "placeholders"
	// notAnOption in the tag marks a field that holds no option's text.
	notAnOption = "-"
)

// Check reports the first placeholder in a text that an option with this treatment does not take.
func (t Treatment) Check(text string) error {
	if t == Request || t == Key {
		return nil
	}
	for _, p := range Any.FindAllString(text, -1) {
		if t != None && AtLoad.MatchString(p) {
			continue
		}
		name := "what stands in braces"
		if Quotable.MatchString(p) {
			name = p
		}
		if t == None {
			return fmt.Errorf("%s cannot be filled in: placeholders are not accepted here (in a Caddyfile, write {$NAME} for an environment variable)", name)
		}
		return fmt.Errorf("%s cannot be filled in: the value is the same for all requests, so it may hold only {env.NAME}, {file.PATH} and {system.NAME}, "+
			"which are filled in when the config is loaded", name)
	}
	return nil
}

// Option is a text among the options of a module.
type Option struct {
	Name string // where it stands in the JSON: users[0].ticket.secrets[1]
	Treatment
	value reflect.Value
}

// Is reports whether the option's text is the one at p.
func (o Option) Is(p *string) bool {
	return o.value.Kind() == reflect.String && o.value.Addr().Interface() == any(p)
}

// Texts returns the option's text; of a Guest, all texts in its JSON.
func (o Option) Texts() []string {
	if o.Treatment != Guest {
		return []string{o.value.String()}
	}
	var v any
	if json.Unmarshal(o.value.Bytes(), &v) != nil {
		return nil
	}
	return jsonTexts(v)
}

// FillIn fills in the placeholders of Load in the option's text. Those of a Request or a Guest option only have to have a
// value.
func (o Option) FillIn(repl values) error {
	for _, text := range o.Texts() {
		filled, err := FillIn(text, repl)
		if err != nil {
			return fmt.Errorf("%s: %w", o.Name, err)
		}
		if o.Treatment == Load || o.Treatment == Key {
			o.value.SetString(filled)
		}
	}
	return nil
}

func jsonTexts(v any) (found []string) {
	switch v := v.(type) {
	case string:
		found = []string{v}
	case []any:
		for _, item := range v {
			found = append(found, jsonTexts(item)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			found = append(found, jsonTexts(v[name])...)
		}
	}
	return found
}

// Each calls visit with every text in options, a pointer to a struct, until visit returns an error. Fields without a name in
// the JSON are no options.
func Each(options any, visit func(Option) error) error {
	return each(Option{value: reflect.ValueOf(options).Elem()}, visit)
}

func each(o Option, visit func(Option) error) error {
	switch v := o.value; v.Kind() {
	case reflect.String:
		return visit(o)
	case reflect.Pointer:
		if !v.IsNil() {
			o.value = v.Elem()
			return each(o, visit)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			return visit(o)
		}
		for i := range v.Len() {
			if err := each(Option{o.Name + "[" + strconv.Itoa(i) + "]", o.Treatment, v.Index(i)}, visit); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, name := range v.MapKeys() {
			if err := each(Option{o.Name + "." + name.String(), o.Treatment, v.MapIndex(name)}, visit); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			treatment := field.Tag.Get(tagName)
			if name == "" && !field.Anonymous || treatment == notAnOption {
				continue
			}
			if err := each(Option{strings.TrimPrefix(o.Name+"."+name, "."), Treatment(treatment), v.Field(i)}, visit); err != nil {
				return err
			}
		}
	}
	return nil
}
