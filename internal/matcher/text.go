package matcher

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxText is the longest matcher or topic, in bytes.
const MaxText = 1024

// CheckText returns what is wrong with the text of a topic or a matcher, or nil: it must be 1 to 1,024 bytes of UTF-8 without control
// and format characters. The former break the stream's format, the latter make names that look alike.
func CheckText(text string) error {
	switch {
	case text == "":
		return errors.New("must not be empty")
	case len(text) > MaxText:
		return fmt.Errorf("must not be longer than %d bytes", MaxText)
	}
	return CheckCharacters(text)
}

// CheckCharacters returns what is wrong with the characters of a text, or nil.
func CheckCharacters(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("must be valid UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return errors.New("must not have control or format characters")
		}
	}
	return nil
}
