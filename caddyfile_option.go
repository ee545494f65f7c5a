package ssepush

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

// option is a line in a block of the Caddyfile.
type option struct {
	usage    string // the line; its first word is the option's name
	min, max int    // how many arguments
	repeats  bool   // whether the line may be repeated

	set   func(args []string) error        // takes the arguments; its error gets the option's name and place
	block []option                         // what the option's block may hold; nil: it takes no block
	late  func() []option                  // the same, if it depends on the arguments
	check func() error                     // called at the end of the block
	guest func(*caddyfile.Dispenser) error // parses all after the name, in place of the functions above
}

const many = math.MaxInt

func (o *option) name() string {
	name, _, _ := strings.Cut(o.usage, " ")
	return name
}

// checkEach returns the first error of a check of the arguments.
func checkEach(args []string, check func(string) error) error {
	for _, arg := range args {
		if err := check(arg); err != nil {
			return err
		}
	}
	return nil
}

func flagOption(name string, flag *bool) option {
	return option{usage: name, set: func([]string) error {
		*flag = true
		return nil
	}}
}

func durationOption(name string, d *caddy.Duration) option {
	return option{usage: name + " <duration>", min: 1, max: 1, set: setDuration(d)}
}

func listOption(usage string, list *[]string) option {
	return option{usage: usage, min: 1, max: many, repeats: true, set: func(args []string) error {
		*list = append(*list, args...)
		return nil
	}}
}

// checked returns o with a check of each argument. Unlike one of the whole block, its error names the argument's line.
func checked(o option, check func(string) error) option {
	set := o.set
	o.set = func(args []string) error { return errors.Join(set(args), checkEach(args, check)) }
	return o
}

func textOption(usage string, text *string) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		*text = args[0]
		return nil
	}}
}

func countOption(name string, n *int) option {
	return option{usage: name + " <number>|off", min: 1, max: 1, set: setCount(n)}
}

func numberOption(name string, n *int) option {
	return option{usage: name + " <number>", min: 1, max: 1, set: func(args []string) error {
		v, err := strconv.Atoi(args[0])
		if err != nil || v < 1 {
			return fmt.Errorf("%q must be a number of at least 1", args[0])
		}
		*n = v
		return nil
	}}
}

func sizeOption(name string, n *int64) option {
	return option{usage: name + " <size>", min: 1, max: 1, set: setSize(n)}
}

// setCount sets a number, or -1 for "off".
func setCount(n *int) func([]string) error {
	return func(args []string) error {
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
	}
}

// setDuration sets a duration of more than 0.
func setDuration(t *caddy.Duration) func([]string) error {
	return func(args []string) error {
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return fmt.Errorf("%q must be a duration of more than 0, such as 15s", args[0])
		}
		*t = caddy.Duration(v)
		return nil
	}
}

// setSizeOrOff sets a number of bytes, or -1 for "off".
func setSizeOrOff(n *int64) func([]string) error {
	return func(args []string) error {
		if args[0] == "off" {
			*n = -1
			return nil
		}
		if err := setSize(n)(args); err != nil {
			return fmt.Errorf("%w, or off", err)
		}
		return nil
	}
}

// setSize sets a number of bytes.
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
