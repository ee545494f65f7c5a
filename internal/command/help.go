package command

import "strings"

// examples formats the examples of a command's help, one a line.
func examples(lines ...string) string { return "  $ " + strings.Join(lines, "\n  $ ") }

// longText returns a command's description without the newlines around it.
func longText(text string) string { return strings.TrimSpace(text) }
