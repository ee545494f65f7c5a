package ssepush

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// checkPath reports what is wrong with the subscribe path.
func checkPath(p string) error {
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

// checkPrefix reports what is wrong with the internal route's prefix.
func checkPrefix(p string) error {
	if err := checkPath(p); err != nil {
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

// isBelow reports whether a path is a prefix or lies below it, in the eyes of a case-blind reader too.
func isBelow(p, prefix string) bool {
	p, prefix = strings.ToLower(p), strings.ToLower(prefix)
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}
