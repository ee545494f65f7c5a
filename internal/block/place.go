package block

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Place is the place of a token: file and line, and how it was imported.
type Place string

// PlaceOf returns the place of the current token.
func PlaceOf(d *caddyfile.Dispenser) Place {
	// The dispenser only puts it into errors about its current token.
	return Place(strings.TrimPrefix(d.WrapErr(errors.New("")).Error(), ", at "))
}

// Wrap adds the place to an error.
func (p Place) Wrap(err error) error { return fmt.Errorf("%w, at %s", err, p) }
