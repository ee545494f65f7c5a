package matcher

import "strings"

// unreserved returns the unreserved character (RFC 3986) that s begins with in percent-encoded form.
func unreserved(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	c := unhex(s[1])<<4 | unhex(s[2])
	return c, unhex(s[1]) < 16 && unhex(s[2]) < 16 && isUnreserved(c)
}

// isUnreserved reports whether a character is unreserved in URLs (RFC 3986).
func isUnreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || strings.IndexByte("-._~", c) >= 0
}

// unhex returns a hexadecimal digit's value, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
