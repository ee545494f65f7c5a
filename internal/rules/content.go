package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the longest id and event name of an app, in bytes.
const maxText = 128

// reservedPrefix begins the names of the hub's own events, so that no app can forge one.
const reservedPrefix = "sse:"

// CheckID returns what is wrong with an event's id, or nil: it must be 1 to 128 bytes of UTF-8 without control characters.
// NUL, CR and LF break the format. Others, such as U+0001, would come back in a Last-Event-ID header, which HTTP servers
// answer with 400, and an EventSource never reconnects after that.
func CheckID(s string) error {
	return checkText(s)
}

// CheckType returns what is wrong with an event's name, or nil: it must be 1 to 128 bytes of UTF-8 without control
// characters, and no name that EventSource or the hub uses.
func CheckType(s string) error {
	if s == "open" || s == "error" {
		return fmt.Errorf("must not be %q, a name that EventSource itself uses", s)
	}
	return CheckForeignType(s)
}

// CheckForeignType is CheckType for events that an upstream names: it allows the names that EventSource uses, which model APIs
// send.
func CheckForeignType(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if strings.HasPrefix(s, reservedPrefix) {
		return fmt.Errorf("must not begin with %q, the prefix of the server's own events", reservedPrefix)
	}
	return nil
}

// CheckData returns what is wrong with an event's data, or nil: it must be UTF-8, and may hold NUL.
func CheckData(b []byte) error {
	if utf8.Valid(b) {
		return nil
	}
	for at := 0; at < len(b); {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			return notUTF8(at)
		}
		at += n
	}
	return nil
}

func checkText(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	if len(s) > maxText {
		return fmt.Errorf("must be at most %d bytes long, not %d", maxText, len(s))
	}
	for at, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[at:], string(utf8.RuneError)) {
			return notUTF8(at)
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("must not contain control characters, such as %U at byte %d", r, at)
		}
	}
	return nil
}

// notUTF8 counts bytes from 0.
func notUTF8(at int) error {
	return fmt.Errorf("must be valid UTF-8, but is not at byte %d", at)
}
