package access

import (
	"errors"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
)

// errUnreadable is the error of a token that cannot be read at all.
var errUnreadable = errors.New("malformed")

// object has the members of a JSON object.
type object map[string]value

// value is a JSON value; nil if it is absent.
type value jsontext.Value

// readObject reads a JSON object.
func readObject(text []byte) (object, error) {
	v, err := jsontext.Parse(text)
	if err != nil {
		return nil, errUnreadable
	}
	return value(v).object()
}

// object returns the members of an object. A name that is given twice is an error, since readers differ in which of the two counts.
func (v value) object() (object, error) {
	if v == nil || v[0] != '{' {
		return nil, errors.New("a part of it is not an object")
	}
	o := object{}
	for key, member := range jsontext.Value(v).Members() {
		name, err := key.Unquote()
		if err != nil {
			return nil, errUnreadable
		}
		if _, given := o[name]; given {
			return nil, errors.New("a name in it is given twice")
		}
		o[name] = value(member)
	}
	return o, nil
}

// text returns a string, and whether the value is one.
func (v value) text() (string, bool) {
	if v == nil || v[0] != '"' {
		return "", false
	}
	s, err := jsontext.Value(v).Unquote()
	return s, err == nil
}

// items returns the items of a list, and whether the value is one.
func (v value) items() (items []value, ok bool) {
	if v == nil || v[0] != '[' {
		return nil, false
	}
	for item := range jsontext.Value(v).Items() {
		items = append(items, value(item))
	}
	return items, true
}
