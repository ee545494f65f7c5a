package request

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// CheckPath returns what is wrong with a subscribe path, or nil.
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

// CheckPrefix returns what is wrong with a prefix of the internal route, or nil.
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

// IsBelow reports whether a path equals a prefix or lies below it, ignoring case, as some file systems and apps do.
func IsBelow(p, prefix string) bool {
	p, prefix = strings.ToLower(p), strings.ToLower(prefix)
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

// EscapedBelow returns the path after its first n decoded bytes, still escaped as it was sent.
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
