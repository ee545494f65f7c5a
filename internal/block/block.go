// Package block reads blocks of a Caddyfile: each line is an Option, with its arguments and perhaps a block of its own. An error
// names the option, file and line, and says what to write.
package block

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// Checker checks all options that have been read so far; the last one was at the given place. With an error, it returns the name of
// the option at fault.
type Checker func(Place) (string, error)

// Parse reads the block after d's line, if there is one, and returns the first place of each of its options. It calls check, if it
// is not nil, after each option.
func Parse(d *caddyfile.Dispenser, options []Option, check Checker) (map[string]Place, error) {
	if check == nil {
		check = func(Place) (string, error) { return "", nil }
	}
	lines := make(map[string]Place)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		o := find(options, d.Val())
		if o == nil {
			return nil, d.Errf("%q is not an option here; the options are %s", d.Val(), names(options))
		}
		if first, seen := lines[o.Name()]; !seen {
			lines[o.Name()] = PlaceOf(d)
		} else if !o.Repeats {
			return nil, d.Errf("%s is given twice, first at %s", o.Name(), first)
		}
		if err := o.parse(d, check); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// parse reads an option's line and block.
func (o *Option) parse(d *caddyfile.Dispenser, check Checker) error {
	line := PlaceOf(d)
	if o.Guest != nil {
		err := o.Guest(d)
		if _, misplaced := check(line); misplaced != nil {
			return line.Wrap(fmt.Errorf("%s: %w", o.Name(), misplaced))
		}
		return err
	}
	args := d.RemainingArgs()
	switch {
	case len(args) < o.Min:
		return d.Errf("%s: missing argument; write: %s", o.Name(), o.Usage)
	case len(args) > o.Max:
		return d.Errf("%s: %q is one argument too many; write: %s", o.Name(), args[o.Max], o.Usage)
	}
	err := o.Set(args)
	// A misplaced placeholder explains more than an error about the text's form.
	if _, misplaced := check(PlaceOf(d)); misplaced != nil && (err == nil || slices.ContainsFunc(args, placeholder.Quotable.MatchString)) {
		err = misplaced
	}
	if err != nil {
		return d.Errf("%s: %w", o.Name(), err)
	}
	inner := o.Block
	if o.Late != nil {
		inner = o.Late()
	}
	if inner == nil {
		if d.NextBlock(d.Nesting()) {
			return line.Wrap(fmt.Errorf("%s: takes no block", o.Name()))
		}
		return nil
	}
	lines, err := Parse(d, inner, check)
	if err != nil {
		return err
	}
	if len(lines) == 0 && o.Check == nil {
		err = fmt.Errorf("the block is missing or empty; it may hold %s", names(inner))
	} else if o.Check != nil {
		err = o.Check()
	}
	if err != nil {
		return line.Wrap(fmt.Errorf("%s: %w", o.Name(), err))
	}
	return nil
}

func find(options []Option, name string) *Option {
	for i := range options {
		if options[i].Name() == name {
			return &options[i]
		}
	}
	return nil
}

func names(options []Option) string {
	list := make([]string, len(options))
	for i := range options {
		list[i] = options[i].Name()
	}
	return strings.Join(list, ", ")
}
