package ssepush

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// jsonValue is one JSON value, known to be valid and without space around it. Its members are found by
// walking over the bytes, as a publish is too short for the tokens of encoding/json to be cheap.
type jsonValue []byte

// parseJSON checks that b is one JSON value of valid UTF-8, and nothing more.
func parseJSON(b []byte) (jsonValue, error) {
	b = bytes.Trim(b, " \t\r\n")
	// encoding/json would put U+FFFD for what is broken.
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

// what says in words what the value is.
func (v jsonValue) what() string {
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

// members yields the members of an object.
func (v jsonValue) members() iter.Seq2[jsonValue, jsonValue] {
	return func(yield func(key, value jsonValue) bool) {
		for i := v.next(1); v[i] != '}'; {
			end := v.end(i)
			key := v[i:end]
			i = v.next(v.next(end) + 1) // behind the colon
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

// items yields the items of an array.
func (v jsonValue) items() iter.Seq[jsonValue] {
	return func(yield func(item jsonValue) bool) {
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

// next passes over space.
func (v jsonValue) next(i int) int {
	for v[i] == ' ' || v[i] == '\n' || v[i] == '\t' || v[i] == '\r' {
		i++
	}
	return i
}

// end is the index behind the value that begins at i.
func (v jsonValue) end(i int) int {
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

func (v jsonValue) stringEnd(i int) int {
	for i++; v[i] != '"'; i++ {
		if v[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns the text of a string. Half of a surrogate pair is an error, as it stands for no character.
func (v jsonValue) unquote() (string, error) {
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

var (
	errNotUTF8       = errors.New("must be valid UTF-8")
	errHalfSurrogate = errors.New("must be valid UTF-8, and holds half of a surrogate pair")
)

// checkText reports what encoding/json would replace by U+FFFD in JSON text: bytes that are not UTF-8, and halves of
// surrogate pairs. Two names that differ only there would become one.
func checkText(b []byte) error {
	switch {
	case !utf8.Valid(b):
		return errNotUTF8
	case halfSurrogate(b):
		return errHalfSurrogate
	}
	return nil
}

// halfSurrogate reports whether a string of JSON text escapes half of a surrogate pair, which stands for no character.
func halfSurrogate(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if i++; i == len(b) || b[i] != 'u' {
			continue
		}
		r := hexRune(b[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := b[min(i+1, len(b)):]
		if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || utf16.DecodeRune(r, hexRune(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// hexRune reads four hexadecimal digits. It returns 0 where there are none, as in text that is not JSON.
func hexRune(b []byte) rune {
	if len(b) < 4 {
		return 0
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}

func (v jsonValue) isNull() bool { return v[0] == 'n' }

func (v jsonValue) text() (string, error) {
	if v[0] != '"' {
		return "", errors.New("must be a string, got " + v.what())
	}
	return v.unquote()
}

// name takes a string, or a whole number such as a database's id, with exactly its digits.
func (v jsonValue) name() (string, error) {
	switch v.what() {
	case "a number":
		return wholeNumber(v)
	case "a string":
		return v.unquote()
	}
	return "", errors.New("must be a string or a whole number, got " + v.what())
}

// wholeNumber returns a JSON number as it is written, unless it is a fraction, has an exponent or does not fit in 64 bits.
func wholeNumber(v []byte) (string, error) {
	if _, err := strconv.ParseInt(string(v), 10, 64); err != nil {
		return "", errors.New("must be a string or a whole number")
	}
	return string(v), nil
}

func (v jsonValue) texts() ([]string, error) {
	switch v[0] {
	case '[':
		return v.list(jsonValue.text)
	case '"':
		s, err := v.unquote()
		return []string{s}, err
	}
	return nil, errors.New("must be a string or an array of strings, got " + v.what())
}

func (v jsonValue) names() ([]string, error) {
	switch v.what() {
	case "an array":
		return v.list(jsonValue.name)
	case "a string", "a number":
		s, err := v.name()
		return []string{s}, err
	}
	return nil, errors.New("must be a string, a whole number or an array of them, got " + v.what())
}

// list reads the items of an array.
func (v jsonValue) list(read func(jsonValue) (string, error)) ([]string, error) {
	var list []string
	for item := range v.items() {
		if len(list) == maxListed {
			return nil, errTooManyListed
		}
		s, err := read(item)
		if err != nil {
			return nil, itemError(len(list), err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (v jsonValue) number() (int64, error) {
	if v.what() != "a number" {
		return 0, errors.New("must be a number, got " + v.what())
	}
	return parseWhole(string(v))
}

func (v jsonValue) boolean() (bool, error) {
	if v.what() != "a boolean" {
		return false, errors.New("must be true or false, got " + v.what())
	}
	return v[0] == 't', nil
}

// data is a string as it is, and any other value as compact JSON. The bytes are the caller's.
func (v jsonValue) data() ([]byte, error) {
	switch {
	case v.isNull():
		return nil, nil
	case v[0] == '"' && bytes.IndexByte(v, '\\') < 0:
		return bytes.Clone(v[1 : len(v)-1]), nil
	case v[0] == '"':
		s, err := v.unquote()
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

// fill hands the fields of an event on.
func (v jsonValue) fill(pub *publication) *problem.Problem {
	if v[0] != '{' {
		return problem.New(http.StatusBadRequest, "an event must be an object, got %s", v.what())
	}
	for key, val := range v.members() {
		name, err := key.unquote()
		if err != nil {
			return problem.New(http.StatusBadRequest, "the name of a field %s", err)
		}
		if p := pub.set(name, val); p != nil {
			return p
		}
	}
	return nil
}
