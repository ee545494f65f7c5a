package main

import (
	"fmt"
	"slices"
	"time"
)

// cell is one figure of a row. The zero value is written as a dash.
type cell struct {
	value float64
	unit  *unit
}

// unit says how a figure is written, and whether it is compared with that of the build before.
type unit struct {
	text  func(v float64) string
	ratio bool
}

var (
	inCount      = &unit{text: func(v float64) string { return number(int(v)) }}
	inRate       = &unit{text: func(v float64) string { return number(int(v)) }, ratio: true}
	inMicros     = &unit{text: func(v float64) string { return fmt.Sprintf("%.1f µs", v) }, ratio: true}
	inFineMicros = &unit{text: func(v float64) string { return fmt.Sprintf("%.2f µs", v) }, ratio: true}
	inMillis     = &unit{text: func(v float64) string { return fmt.Sprintf("%.1f ms", v) }, ratio: true}
	inSeconds    = &unit{text: func(v float64) string { return fmt.Sprintf("%.2f s", v) }, ratio: true}
	inKiB        = &unit{text: func(v float64) string { return fmt.Sprintf("%.2f KiB", v) }, ratio: true}
)

func count(n int) cell { return cell{float64(n), inCount} }

// rate returns n divided by the seconds of d.
func rate(n int, d time.Duration) cell { return cell{float64(n) / d.Seconds(), inRate} }

// micros returns d divided by n.
func micros(d time.Duration, n int, u *unit) cell {
	if n == 0 {
		return cell{}
	}
	return cell{float64(d) / float64(n) / float64(time.Microsecond), u}
}

func millis(d time.Duration) cell { return cell{float64(d) / float64(time.Millisecond), inMillis} }

func seconds(d time.Duration) cell { return cell{d.Seconds(), inSeconds} }

// kib returns bytes divided by n.
func kib(bytes int64, n int) cell { return cell{float64(bytes) / float64(n) / 1024, inKiB} }

// String writes the figure.
func (c cell) String() string {
	if c.unit == nil {
		return "–"
	}
	return c.unit.text(c.value)
}

// against writes the figure, followed by its ratio to that of the build before.
func (c cell) against(before cell) string {
	if c.unit == nil || !c.unit.ratio || before.unit == nil || before.value == 0 {
		return c.String()
	}
	return fmt.Sprintf("%v (×%.2f)", c, c.value/before.value)
}

// median returns the median of a figure over several runs. It ignores runs without the figure.
func median(cells []cell) cell {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c cell) bool { return c.unit == nil })
	if len(cells) == 0 {
		return cell{}
	}
	slices.SortFunc(cells, func(a, b cell) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	middle := cells[len(cells)/2]
	if n := len(cells); n%2 == 0 {
		middle.value = (cells[n/2-1].value + middle.value) / 2
	}
	return middle
}

// number writes n with commas between thousands.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
