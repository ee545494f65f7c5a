package block

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	humanize "github.com/dustin/go-humanize"
)

// Option is a line in a block.
type Option struct {
	Usage    string // the line; its first word is the option's name
	Min, Max int    // how many arguments
	Repeats  bool   // whether the line may be repeated

	Set   func(args []string) error        // takes the arguments; its error gets the option's name and place
	Block []Option                         // what the option's block may hold; nil: it takes no block
	Late  func() []Option                  // the same, if it depends on the arguments
	Check func() error                     // called at the end of the block
	Guest func(*caddyfile.Dispenser) error // parses all after the name, in place of the functions above
}

// Many is the Max of an option that takes any number of arguments.
const Many = math.MaxInt

// Name returns the option's name.
func (o *Option) Name() string {
	name, _, _ := strings.Cut(o.Usage, " ")
	return name
}

// CheckEach returns the first error of a check of the arguments.
func CheckEach(args []string, check func(string) error) error {
	for _, arg := range args {
		if err := check(arg); err != nil {
			return err
		}
	}
	return nil
}

// Checked returns o with a check of each argument. Unlike one of the whole block, its error names the argument's line.
func Checked(o Option, check func(string) error) Option {
	set := o.Set
	o.Set = func(args []string) error { return errors.Join(set(args), CheckEach(args, check)) }
	return o
}

// Flag returns an option without arguments.
func Flag(name string, flag *bool) Option {
	return Option{Usage: name, Set: func([]string) error {
		*flag = true
		return nil
	}}
}

// Text returns an option with one argument.
func Text(usage string, text *string) Option {
	return Option{Usage: usage, Min: 1, Max: 1, Set: func(args []string) error {
		*text = args[0]
		return nil
	}}
}

// List returns an option that adds all its arguments to a list.
func List(usage string, list *[]string) Option {
	return Option{Usage: usage, Min: 1, Max: Many, Repeats: true, Set: func(args []string) error {
		*list = append(*list, args...)
		return nil
	}}
}

// Duration returns an option that takes a duration of more than 0.
func Duration(name string, d *caddy.Duration) Option {
	return Option{Usage: name + " <duration>", Min: 1, Max: 1, Set: SetDuration(d)}
}

// Number returns an option that takes a number of at least 1.
func Number(name string, n *int) Option {
	return Option{Usage: name + " <number>", Min: 1, Max: 1, Set: func(args []string) error {
		v, err := strconv.Atoi(args[0])
		if err != nil || v < 1 {
			return fmt.Errorf("%q must be a number of at least 1", args[0])
		}
		*n = v
		return nil
	}}
}

// Count returns an option that takes a number of at least 1, or "off", which is -1.
func Count(name string, n *int) Option {
	return Option{Usage: name + " <number>|off", Min: 1, Max: 1, Set: func(args []string) error {
		if args[0] == "off" {
			*n = -1
			return nil
		}
		v, err := strconv.Atoi(args[0])
		if err != nil || v < 1 {
			return fmt.Errorf("%q must be a number of at least 1, or off", args[0])
		}
		*n = v
		return nil
	}}
}

// Size returns an option that takes a number of bytes.
func Size(name string, n *int64) Option {
	return Option{Usage: name + " <size>", Min: 1, Max: 1, Set: setSize(n)}
}

// SizeOrOff returns an option that takes a number of bytes, or "off", which is -1.
func SizeOrOff(name string, n *int64) Option {
	return Option{Usage: name + " <size>|off", Min: 1, Max: 1, Set: func(args []string) error {
		if args[0] == "off" {
			*n = -1
			return nil
		}
		if err := setSize(n)(args); err != nil {
			return fmt.Errorf("%w, or off", err)
		}
		return nil
	}}
}

// SetDuration returns a function that sets a duration of more than 0.
func SetDuration(t *caddy.Duration) func([]string) error {
	return func(args []string) error {
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return fmt.Errorf("%q must be a duration of more than 0, such as 15s", args[0])
		}
		*t = caddy.Duration(v)
		return nil
	}
}

// setSize returns a function that sets a number of bytes.
func setSize(n *int64) func([]string) error {
	return func(args []string) error {
		v, err := humanize.ParseBytes(args[0])
		if err != nil || v < 1 || v > math.MaxInt64 {
			return fmt.Errorf("%q must be a size of at least one byte, such as 64KiB", args[0])
		}
		*n = int64(v)
		return nil
	}
}
