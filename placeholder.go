package ssepush

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// treatment says what becomes of the placeholders in an option.
type treatment int

const (
	_ treatment = iota
	// plainText options take none: they are compared as they stand, or are one of a few words.
	plainText
	// atLoad options have {env.*}, {file.*} and {system.*} filled in when the config is loaded, and take no others.
	atLoad
	// keyText options are atLoad, and may hold braces of their own, as a JSON Web Key does.
	keyText
	// perRequest options have all placeholders filled in for each request. Those of atLoad must have a value at load too.
	perRequest
	// guest options are JSON of another module, which fills in what atLoad options take.
	guest
)

// treatments says for every option that holds text how it treats placeholders. The names are those of the JSON.
var treatments = map[string]treatment{
	"path": plainText, "topics": perRequest, "cors_origins": atLoad,

	"users.source": plainText, "users.name": atLoad /* of a placeholder: perRequest */, "users.from": atLoad,
	"users.ticket.secrets": atLoad, "users.ticket.from.in": plainText, "users.ticket.from.name": atLoad,
	"users.jwt.keys": keyText, "users.jwt.secrets": atLoad, "users.jwt.key_files": atLoad, "users.jwt.jwks": atLoad,
	"users.jwt.algorithms": plainText, "users.jwt.issuers": atLoad, "users.jwt.audiences": atLoad,
	"users.jwt.user_claim": atLoad, "users.jwt.topics_claim": atLoad, "users.jwt.from.in": plainText, "users.jwt.from.name": atLoad,
	"users.authorize.target": atLoad, "users.authorize.cookies": atLoad, "users.authorize.headers": atLoad,

	"internal.prefix": plainText, "internal.tokens": atLoad, "internal.allow": atLoad, "internal.origins": atLoad,
	"inspector.path": plainText, "inspector.tokens": atLoad,
	"publish_header.targets": plainText, "publish_header.status": plainText,

	"hub": atLoad, "client_key": atLoad, "presence.topic": atLoad, "broker": guest,
}

// optionText is a text of a handler's options.
type optionText struct {
	name  string // where it stands in the JSON: users[0].ticket.secrets[1]
	value reflect.Value
	how   treatment
}

// texts calls visit with all texts of the options, until it returns an error.
func (h *Handler) texts(visit func(optionText) error) error {
	return walkTexts(reflect.ValueOf(h).Elem(), "", "", func(name, option string, v reflect.Value) error {
		if option == "places" {
			return nil
		}
		how := treatments[option]
		for i := range h.Users {
			if h.Users[i].Source == "placeholder" && v.Addr().Interface() == any(&h.Users[i].Name) {
				how = perRequest
			}
		}
		return visit(optionText{name, v, how})
	})
}

// walkTexts calls visit with every text in v, its name in the JSON, and that name without indexes.
func walkTexts(v reflect.Value, name, option string, visit func(name, option string, v reflect.Value) error) error {
	switch v.Kind() {
	case reflect.String:
		return visit(name, option, v)
	case reflect.Pointer:
		if !v.IsNil() {
			return walkTexts(v.Elem(), name, option, visit)
		}
	case reflect.Map:
		return visit(name, option, v)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			return visit(name, option, v)
		}
		for i := range v.Len() {
			if err := walkTexts(v.Index(i), name+"["+strconv.Itoa(i)+"]", option, visit); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag == "" && !field.Anonymous {
				continue
			}
			if err := walkTexts(v.Field(i), strings.TrimPrefix(name+"."+tag, "."), strings.TrimPrefix(option+"."+tag, "."), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPlaceholders reports the first placeholder that its option does not take, and the option. Of those that are filled in
// when the config is loaded it notes where they stand in the Caddyfile.
func (h *Handler) checkPlaceholders(at place) (name string, err error) {
	err = h.texts(func(t optionText) error {
		for _, text := range t.texts() {
			if name, err = t.name, t.how.check(text); err != nil {
				return err
			}
			if at != "" && placeholder.AtLoad.MatchString(text) && h.Places[t.name] == "" {
				if h.Places == nil {
					h.Places = map[string]string{}
				}
				h.Places[t.name] = string(at)
			}
		}
		return nil
	})
	return name, err
}

// fillIn fills in the placeholders that are filled in when the config is loaded. One without a value is an error.
func (h *Handler) fillIn(repl *caddy.Replacer) error {
	if name, err := h.checkPlaceholders(""); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return h.texts(func(t optionText) error {
		for _, text := range t.texts() {
			filled, err := placeholder.FillIn(text, repl)
			if err != nil {
				return h.placed(t.name, fmt.Errorf("%s: %w", t.name, err))
			}
			if t.how == atLoad || t.how == keyText {
				t.value.SetString(filled)
			}
		}
		return nil
	})
}

// placed adds to an error where the Caddyfile has an option, if that is known.
func (h *Handler) placed(name string, err error) error {
	if at := h.Places[name]; at != "" {
		return place(at).wrap(err)
	}
	return err
}

// texts returns the option's text, or all that are in the JSON of a guest.
func (t optionText) texts() (found []string) {
	switch t.how {
	case guest:
		var v any
		if json.Unmarshal(t.value.Bytes(), &v) == nil {
			found = jsonTexts(v)
		}
	default:
		found = []string{t.value.String()}
	}
	return found
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

// check reports the first placeholder in a text that options of this kind do not take.
func (how treatment) check(text string) error {
	if how == perRequest || how == keyText {
		return nil
	}
	for _, p := range placeholder.Any.FindAllString(text, -1) {
		if how != plainText && placeholder.AtLoad.MatchString(p) {
			continue
		}
		name := "what stands in braces"
		if placeholder.Quotable.MatchString(p) {
			name = p
		}
		if how == plainText {
			return fmt.Errorf("%s cannot be filled in: placeholders are not taken here (in a Caddyfile, write {$NAME} for an environment variable)", name)
		}
		return fmt.Errorf("%s cannot be filled in: the value is the same for all requests, so only {env.NAME}, {file.PATH} and {system.NAME} "+
			"are, when the config is loaded", name)
	}
	return nil
}
