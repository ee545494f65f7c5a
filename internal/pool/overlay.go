package pool

import (
	"bytes"
	"encoding/json"
	"iter"
	"reflect"
	"strings"
)

// Several handlers may give settings of one hub. Each setting is one field of Settings: it counts as given unless it is
// zero, and it may be given in one of the handlers, or in several if it is the same in each.

// Conflict returns the JSON key of a setting that s and other both give, but differently; "" if there is none.
func (s *Settings) Conflict(other *Settings) string {
	for key, both := range s.overlay(other) {
		if !both.own.IsZero() && !same(both.own.Interface(), both.other.Interface()) {
			return key
		}
	}
	return ""
}

// merge takes over the settings that other gives.
func (s *Settings) merge(other *Settings) {
	for _, both := range s.overlay(other) {
		both.own.Set(both.other)
	}
}

// setting is one setting, as two handlers have it.
type setting struct{ own, other reflect.Value }

// overlay ranges over the settings that other gives, by their JSON keys. It leaves out the hub's name.
func (s *Settings) overlay(other *Settings) iter.Seq2[string, setting] {
	return func(yield func(string, setting) bool) {
		a, b := reflect.ValueOf(s).Elem(), reflect.ValueOf(other).Elem()
		for i := range a.NumField() {
			key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			if key != "hub" && !b.Field(i).IsZero() && !yield(key, setting{a.Field(i), b.Field(i)}) {
				return
			}
		}
	}
}

// same reports whether two values of a setting mean the same. Raw JSON may be spelled differently.
func same(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, ok := a.(json.RawMessage)
	y, _ := b.(json.RawMessage)
	return ok && sameJSON(x, y)
}

// sameJSON reports whether two texts are the same JSON value.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
