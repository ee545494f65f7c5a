// Package jsontext reads JSON by walking over its bytes. A publish is too short for the tokens of encoding/json to be cheap.
package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"
)

// Value is one valid JSON value, without space around it.
type Value []byte

// Parse returns the one JSON value that b holds, or an error if b is not UTF-8 or not exactly one value.
func Parse(b []byte) (Value, error) {
	b = bytes.Trim(b, " \t\r\n")
	// encoding/json replaces broken UTF-8 by U+FFFD.
	if !utf8.Valid(b) {
		return nil, errors.New("invalid JSON: must be valid UTF-8")
	}
	if json.Valid(b) {
		return b, nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(b, &raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return nil, errors.New("invalid JSON at byte " + strconv.FormatInt(syntax.Offset, 10) + ": " + syntax.Error())
	}
	return nil, errors.New("invalid JSON")
}

// What returns the kind of the value in words.
func (v Value) What() string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// Members yields the members of an object.
func (v Value) Members() iter.Seq2[Value, Value] {
	return func(yield func(key, value Value) bool) {
		for i := v.next(1); v[i] != '}'; {
			end := v.end(i)
			key := v[i:end]
			i = v.next(v.next(end) + 1) // after the colon
			end = v.end(i)
			if !yield(key, v[i:end]) {
				return
			}
			if i = v.next(end); v[i] == ',' {
				i = v.next(i + 1)
			}
		}
	}
}

// Items yields the items of an array.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(item Value) bool) {
		for i := v.next(1); v[i] != ']'; {
			end := v.end(i)
			if !yield(v[i:end]) {
				return
			}
			if i = v.next(end); v[i] == ',' {
				i = v.next(i + 1)
			}
		}
	}
}

// next returns the index of the next byte that is not space.
func (v Value) next(i int) int {
	for v[i] == ' ' || v[i] == '\n' || v[i] == '\t' || v[i] == '\r' {
		i++
	}
	return i
}

// end returns the index after the value that begins at i.
func (v Value) end(i int) int {
	switch v[i] {
	case '"':
		return v.stringEnd(i)
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch v[i] {
			case '"':
				i = v.stringEnd(i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for ; i < len(v); i++ {
		switch v[i] {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return i
}

func (v Value) stringEnd(i int) int {
	for i++; v[i] != '"'; i++ {
		if v[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// Unquote returns the text of a string. Half of a surrogate pair is an error, as it stands for no character.
func (v Value) Unquote() (string, error) {
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	if halfSurrogate(inner) {
		return "", errHalfSurrogate
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return "", err
	}
	return s, nil
}

func (v Value) IsNull() bool { return v[0] == 'n' }

func (v Value) Text() (string, error) {
	if v[0] != '"' {
		return "", errors.New("must be a string, got " + v.What())
	}
	return v.Unquote()
}

// Name returns a string, or the digits of a whole number, such as a database's id.
func (v Value) Name() (string, error) {
	switch v.What() {
	case "a number":
		return WholeNumber(v)
	case "a string":
		return v.Unquote()
	}
	return "", errors.New("must be a string or a whole number, got " + v.What())
}

// WholeNumber returns a JSON number as it is written, unless it is a fraction, has an exponent or does not fit in 64 bits.
func WholeNumber(v []byte) (string, error) {
	if _, err := strconv.ParseInt(string(v), 10, 64); err != nil {
		return "", errors.New("must be a string or a whole number")
	}
	return string(v), nil
}

func (v Value) Texts() ([]string, error) {
	switch v[0] {
	case '[':
		return v.list(Value.Text)
	case '"':
		s, err := v.Unquote()
		return []string{s}, err
	}
	return nil, errors.New("must be a string or an array of strings, got " + v.What())
}

func (v Value) Names() ([]string, error) {
	switch v.What() {
	case "an array":
		return v.list(Value.Name)
	case "a string", "a number":
		s, err := v.Name()
		return []string{s}, err
	}
	return nil, errors.New("must be a string, a whole number or an array of them, got " + v.What())
}

// list reads the items of an array.
func (v Value) list(read func(Value) (string, error)) ([]string, error) {
	var list []string
	for item := range v.Items() {
		if len(list) == MaxItems {
			return nil, ErrTooMany
		}
		s, err := read(item)
		if err != nil {
			return nil, ItemError(len(list), err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (v Value) Number() (int64, error) {
	if v.What() != "a number" {
		return 0, errors.New("must be a number, got " + v.What())
	}
	return ParseWhole(string(v))
}

func (v Value) Boolean() (bool, error) {
	if v.What() != "a boolean" {
		return false, errors.New("must be true or false, got " + v.What())
	}
	return v[0] == 't', nil
}

// Data returns a string's text, and any other value as compact JSON. The caller owns the bytes.
func (v Value) Data() ([]byte, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case v[0] == '"' && bytes.IndexByte(v, '\\') < 0:
		return bytes.Clone(v[1 : len(v)-1]), nil
	case v[0] == '"':
		s, err := v.Unquote()
		return []byte(s), err
	case bytes.IndexByte(v, ' ') < 0 && bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\t') < 0 && bytes.IndexByte(v, '\r') < 0:
		return bytes.Clone(v), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, v); err != nil {
		return nil, err
	}
	return bytes.Clone(compact.Bytes()), nil
}

// MaxItems is how many items a list may have, before duplicates are removed.
const MaxItems = 10_000

func ParseWhole(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("must be a whole number")
	}
	return n, nil
}

var ErrTooMany = fmt.Errorf("must not hold more than %d items", MaxItems)

// ItemError returns an error that names the item of a list at fault.
func ItemError(i int, err error) error { return fmt.Errorf("item %d %w", i, err) }
