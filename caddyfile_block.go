package ssepush

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// checker checks all options that have been read. The last of them is at a place. With an error it returns the name of the option at
// fault.
type checker func(place) (string, error)

// parseBlock reads the block after d's line, if there is one, and returns the first place of each of its options. It calls check
// after each option.
func parseBlock(d *caddyfile.Dispenser, options []option, check checker) (map[string]place, error) {
	lines := make(map[string]place)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		o := findOption(options, d.Val())
		if o == nil {
			return nil, d.Errf("%q is not known here; known are %s", d.Val(), optionNames(options))
		}
		if first, seen := lines[o.name()]; !seen {
			lines[o.name()] = placeOf(d)
		} else if !o.repeats {
			return nil, d.Errf("%s is given twice, first at %s", o.name(), first)
		}
		if err := o.parse(d, check); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// parse reads an option's line and block.
func (o *option) parse(d *caddyfile.Dispenser, check checker) error {
	line := placeOf(d)
	if o.guest != nil {
		err := o.guest(d)
		if _, misplaced := check(line); misplaced != nil {
			return line.wrap(fmt.Errorf("%s: %w", o.name(), misplaced))
		}
		return err
	}
	args := d.RemainingArgs()
	switch {
	case len(args) < o.min:
		return d.Errf("%s: missing argument; write: %s", o.name(), o.usage)
	case len(args) > o.max:
		return d.Errf("%s: %q is one argument too many; write: %s", o.name(), args[o.max], o.usage)
	}
	err := o.set(args)
	// A misplaced placeholder explains more than an error about the text's form.
	if _, misplaced := check(placeOf(d)); misplaced != nil && (err == nil || slices.ContainsFunc(args, placeholder.Quotable.MatchString)) {
		err = misplaced
	}
	if err != nil {
		return d.Errf("%s: %w", o.name(), err)
	}
	block := o.block
	if o.late != nil {
		block = o.late()
	}
	if block == nil {
		if d.NextBlock(d.Nesting()) {
			return line.wrap(fmt.Errorf("%s: takes no block", o.name()))
		}
		return nil
	}
	lines, err := parseBlock(d, block, check)
	if err != nil {
		return err
	}
	if len(lines) == 0 && o.check == nil {
		err = fmt.Errorf("the block is missing or empty; it may hold %s", optionNames(block))
	} else if o.check != nil {
		err = o.check()
	}
	if err != nil {
		return line.wrap(fmt.Errorf("%s: %w", o.name(), err))
	}
	return nil
}

func findOption(options []option, name string) *option {
	for i := range options {
		if options[i].name() == name {
			return &options[i]
		}
	}
	return nil
}

func optionNames(options []option) string {
	list := make([]string, len(options))
	for i := range options {
		list[i] = options[i].name()
	}
	return strings.Join(list, ", ")
}

// place is the place of a token: file and line, and how it was imported.
type place string

// placeOf returns the place of the current token.
func placeOf(d *caddyfile.Dispenser) place {
	// The dispenser only puts it into errors about its current token.
	return place(strings.TrimPrefix(d.WrapErr(errors.New("")).Error(), ", at "))
}

// wrap adds the place to an error.
func (p place) wrap(err error) error { return fmt.Errorf("%w, at %s", err, p) }
