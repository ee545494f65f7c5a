// Package rules has the rules for names, topics and events, whatever route they come by: characters, lengths, counts.
package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name of a user or a topic, in bytes.
const MaxName = 255

// CheckName returns what is wrong with a user's name, or nil: it must be 1 to MaxName bytes of UTF-8 without control
// characters.
func CheckName(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > MaxName:
		return fmt.Errorf("must not be longer than %d bytes", MaxName)
	}
	return checkCharacters(s)
}

func checkCharacters(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("must not hold control characters")
	}
	return nil
}

// MaxSegments is the largest number of segments in a topic.
const MaxSegments = 16

// CheckTopic returns what is wrong with a topic's name, or nil. Beyond the rules of CheckName, it must have at most
// MaxSegments segments, none of them "*" or "**", which are for patterns.
func CheckTopic(s string) error {
	if err := CheckName(s); err != nil {
		return err
	}
	if IsPattern(s) {
		return errors.New("must be a name, not a pattern")
	}
	if strings.Count(s, "/") >= MaxSegments {
		return fmt.Errorf("must not have more than %d segments", MaxSegments)
	}
	return nil
}

// MaxForeignTopic is the longest topic of another protocol, in bytes.
const MaxForeignTopic = 1024

// CheckForeignTopic is CheckTopic for topics of other protocols. They may have any number of segments, and none of these is a
// wildcard.
func CheckForeignTopic(s string) error {
	if len(s) <= MaxName {
		return CheckName(s)
	}
	if len(s) > MaxForeignTopic {
		return fmt.Errorf("must not be longer than %d bytes", MaxForeignTopic)
	}
	return checkCharacters(s)
}

// CheckPattern returns what is wrong with a topic's name or a pattern, or nil.
func CheckPattern(s string) error {
	if err := CheckName(s); err != nil {
		return err
	}
	segments := strings.Split(s, "/")
	for i, seg := range segments {
		switch {
		case seg == "*":
		case seg == "**" && i < len(segments)-1:
			return errors.New("** must be the last segment")
		case seg != "**" && strings.Contains(seg, "*"):
			return errors.New("* must stand alone in its segment")
		}
	}
	return nil
}

// IsPattern reports whether s has a segment "*" or "**".
func IsPattern(s string) bool {
	if !strings.Contains(s, "*") {
		return false
	}
	for seg := range strings.SplitSeq(s, "/") {
		if seg == "*" || seg == "**" {
			return true
		}
	}
	return false
}

// Match reports whether a name or pattern covers a topic: "*" stands for one segment, a last "**" for one
// or more.
func Match(pattern, topic string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		t, trest, tmore := strings.Cut(topic, "/")
		switch {
		case p == "**" && !pmore:
			return true
		case p != "*" && p != t, pmore != tmore:
			return false
		case !pmore:
			return true
		}
		pattern, topic = prest, trest
	}
}

// EscapeSegment returns a name as one segment of a topic, never a wildcard: it percent-encodes "%", "/", "*" and control
// characters.
func EscapeSegment(s string) string {
	if !strings.ContainsFunc(s, escaped) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !escaped(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func escaped(r rune) bool { return r == '%' || r == '/' || r == '*' || unicode.IsControl(r) }
