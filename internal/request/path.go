// Package request finds out what a request tells of its sender: path, peer, host, origin, cookies, parameters.
package request

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// CheckPath reports what is wrong with the subscribe path.
func CheckPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("%q must start with /", p)
	case strings.ContainsAny(p, "*{}?#"):
		return fmt.Errorf("%q must be a plain path: it is compared as it stands, without wildcards, placeholders or a query", p)
	case path.Clean(p) != p && path.Clean(p)+"/" != p:
		return fmt.Errorf("%q must be written as %q", p, path.Clean(p))
	}
	return nil
}

// CheckPrefix reports what is wrong with the internal route's prefix.
func CheckPrefix(p string) error {
	if err := CheckPath(p); err != nil {
		return err
	}
	switch {
	case p == "/":
		return errors.New("must not be /: it would swallow the whole site")
	case path.Clean(p) != p:
		return fmt.Errorf("%q must not end in /", p)
	}
	return nil
}

// IsBelow reports whether a path is a prefix or lies below it, in the eyes of a case-blind reader too.
func IsBelow(p, prefix string) bool {
	p, prefix = strings.ToLower(p), strings.ToLower(prefix)
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

// EscapedBelow is the path behind its first n bytes, as it was sent.
func EscapedBelow(u *url.URL, n int) string {
	escaped := u.EscapedPath()
	for ; n > 0; n-- {
		if escaped[0] == '%' {
			escaped = escaped[2:]
		}
		escaped = escaped[1:]
	}
	return escaped
}
