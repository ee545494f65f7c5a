package redisbroker

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

// A tail of the epoch 7 has come to the entry 20-0, the eighth that was ever added.
func TestContinuity(t *testing.T) {
	const check = 99
	place := func(epoch, ms uint64) broker.Position { return id{ms, 0}.position(epoch, check) }
	first, second := epoch{name: 7}, epoch{name: 8, from: id{25, 0}}
	for name, c := range map[string]struct {
		view  view
		tail  func(p *progress) // changes what the tail knows
		want  verdict
		floor broker.Position // if the verdict is lost
	}{
		"its entry is the newest":      {view: view{epochs: epochs{first}, sum: check, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, want: goesOn},
		"more has come":                {view: view{epochs: epochs{first}, sum: check, length: 9, added: 9, first: id{1, 0}, last: id{30, 0}}, want: goesOn},
		"a new epoch after its entry":  {view: view{epochs: epochs{first, second}, sum: check, length: 9, added: 9, first: id{1, 0}, last: id{25, 0}}, want: goesOn},
		"its entry's check is unknown": {view: view{epochs: epochs{first}, sum: 1, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, tail: func(p *progress) { p.at.Check = 0 }, want: goesOn},
		"another entry has its id":     {view: view{epochs: epochs{first}, sum: 1, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, want: lost, floor: place(7, 20)},
		"its entry was taken out":      {view: view{epochs: epochs{first}, length: 8, added: 9, first: id{1, 0}, last: id{30, 0}}, want: lost, floor: place(7, 20)},
		"trimmed up to its entry":      {view: view{epochs: epochs{first}, length: 2, added: 10, first: id{22, 0}, last: id{30, 0}}, want: goesOn},
		"trimmed beyond its entry":     {view: view{epochs: epochs{first}, length: 1, added: 10, first: id{30, 0}, last: id{30, 0}}, want: trimmed},
		"all trimmed, nothing missed":  {view: view{epochs: epochs{first}, added: 8, last: id{20, 0}}, want: goesOn},
		"all trimmed":                  {view: view{epochs: epochs{first}, added: 9, last: id{30, 0}}, want: trimmed},
		"fewer were added than before": {view: view{epochs: epochs{first}, length: 3, added: 3, first: id{22, 0}, last: id{30, 0}}, want: lost, floor: place(7, 20)},
		"more are there than added":    {view: view{epochs: epochs{first}, length: 3, added: 10, first: id{22, 0}, last: id{30, 0}}, want: lost, floor: place(7, 20)},
		"uncounted, and just after it": {view: view{epochs: epochs{first}, length: 2, added: 50, first: id{20, 1}, last: id{30, 0}}, tail: uncounted, want: goesOn},
		"uncounted, and empty":         {view: view{epochs: epochs{first}, added: 50, last: id{20, 0}}, tail: uncounted, want: goesOn},
		"uncounted, and later":         {view: view{epochs: epochs{first}, length: 2, added: 50, first: id{22, 0}, last: id{30, 0}}, tail: uncounted, want: trimmed},
		"no epoch at all":              {view: view{}, want: unopened},
		"other epochs":                 {view: view{epochs: epochs{second}, length: 1, added: 1, first: id{25, 0}, last: id{25, 0}}, want: renewed},
		"known epochs, but not its":    {view: view{epochs: epochs{second}, length: 1, added: 1, first: id{25, 0}, last: id{25, 0}}, tail: func(p *progress) { p.known[8] = struct{}{} }, want: lost, floor: place(7, 20)},
		"an epoch that begins earlier": {view: view{epochs: epochs{first, {name: 9, from: id{15, 0}}}, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, want: renewed},
		"lost, and renewed":            {view: view{epochs: epochs{first, second}, sum: 1, length: 9, added: 9, first: id{1, 0}, last: id{25, 0}}, want: renewed},
		"its own append is gone":       {view: view{epochs: epochs{first}, sum: check, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, tail: appended(7, 21), want: lost, floor: place(7, 21)},
		"its own append is there":      {view: view{epochs: epochs{first}, sum: check, length: 9, added: 9, first: id{1, 0}, last: id{21, 0}}, tail: appended(7, 21), want: goesOn},
		"an append of another epoch":   {view: view{epochs: epochs{first}, sum: check, length: 8, added: 8, first: id{1, 0}, last: id{20, 0}}, tail: appended(8, 26), want: goesOn},
		"both are gone":                {view: view{epochs: epochs{first}, length: 1, added: 1, first: id{1, 0}, last: id{1, 0}}, tail: appended(7, 21), want: lost, floor: place(7, 21)},
	} {
		p := progress{at: place(7, 20), ordinal: 8, counted: true, known: map[uint64]struct{}{7: {}}}
		if c.tail != nil {
			c.tail(&p)
		}
		got, next, floor := continuity(&c.view, p)
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if got == lost && floor != c.floor {
			t.Errorf("%s: a new epoch begins above %s, want %s", name, floor, c.floor)
		}
		if got == renewed && next.name < 8 {
			t.Errorf("%s: it goes on with the epoch %d", name, next.name)
		}
	}
}

func uncounted(p *progress) { p.counted = false }

func appended(epoch, ms uint64) func(p *progress) {
	return func(p *progress) { p.acked = id{ms, 0}.position(epoch, 99) }
}
