package jsontext

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errNotUTF8       = errors.New("must be valid UTF-8")
	errHalfSurrogate = errors.New("must be valid UTF-8, and holds half of a surrogate pair")
)

// CheckText returns an error if JSON text has what encoding/json replaces by U+FFFD: bytes that are not UTF-8, and halves of
// surrogate pairs. Two names that differ only there would become equal.
func CheckText(b []byte) error {
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

// hexRune reads four hexadecimal digits. It returns 0 if there are none, as in text that is not JSON.
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
