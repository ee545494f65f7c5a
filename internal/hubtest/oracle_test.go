package hubtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

// complaints keeps what the oracle says.
type complaints []string

func (*complaints) Helper()             {}
func (*complaints) Logf(string, ...any) {}
func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

// TestOracle shows the oracle one client, to whom five events were published: 0 and 1 in the log's first life, 2 refused,
// 3 unknown, 4 in the second life. Between 1 and 4 something for another user was stored.
func TestOracle(t *testing.T) {
	at := func(epoch, minor uint64) broker.Position { return broker.Position{Epoch: epoch, Minor: minor} }
	start := item{kind: fromHere, pos: at(7, 10)}
	got := func(number int, epoch, minor uint64) item {
		return item{kind: isEvent, number: number, pos: at(epoch, minor)}
	}
	gapFor := func(reason string, from, to broker.Position) item {
		return item{kind: isGap, from: from, pos: to, reason: reason}
	}
	gap := func(from, to broker.Position) item { return gapFor("lost", from, to) }
	here := func(epoch, minor uint64) item { return item{kind: isPosition, pos: at(epoch, minor)} }
	zero, one, three, four := got(0, 7, 11), got(1, 7, 12), got(3, 7, 14), got(4, 5, 1)

	for name, test := range map[string]struct {
		told    []item
		allowed gaps
		want    string
	}{
		"all":                     {[]item{start, zero, one, four}, noGaps, ""},
		"all, and the unknown":    {[]item{start, zero, one, three, four}, noGaps, ""},
		"positions between":       {[]item{start, here(7, 10), zero, here(7, 11), one, here(7, 13), four, here(5, 1)}, noGaps, ""},
		"one is missing":          {[]item{start, zero, four}, anyGaps, "1 acknowledged events have not come"},
		"covered":                 {[]item{start, zero, gap(at(7, 11), at(5, 0)), four}, anyGaps, ""},
		"covered by another life": {[]item{start, one, gap(at(7, 12), at(5, 0)), four}, anyGaps, ""},
		"not by one trimmed":      {[]item{start, one, gapFor("trimmed", at(7, 12), at(5, 0)), four}, anyGaps, "1 acknowledged events have not come"},
		"covered too late":        {[]item{start, one, gap(at(7, 12), at(7, 13)), four}, anyGaps, "1 acknowledged events have not come"},
		"a gap that begins early": {[]item{start, zero, gap(at(7, 10), at(7, 12)), four}, anyGaps, "a gap from"},
		"a gap that begins late":  {[]item{start, gap(at(7, 11), at(7, 12)), four}, anyGaps, "1 acknowledged events have not come"},
		"a gap from nowhere":      {[]item{start, zero, gap(broker.Position{}, at(7, 12)), four}, anyGaps, "from nowhere"},
		"covered, but not far":    {[]item{start, gap(at(7, 10), at(7, 11)), four}, anyGaps, "1 acknowledged events have not come"},
		"a gap nobody may have":   {[]item{start, zero, one, gap(at(7, 12), at(5, 0)), four}, noGaps, "a false gap"},
		"all again after a gap":   {[]item{start, zero, one, gap(at(7, 12), at(7, 10)), zero, one, four}, anyGaps, ""},
		"not all after a gap":     {[]item{start, zero, one, gap(at(7, 12), at(7, 10)), one, four}, anyGaps, "1 acknowledged events have not come"},
		"the end is missing":      {[]item{start, zero, one}, noGaps, "without 1 events"},
		"twice":                   {[]item{start, zero, zero, one, four}, noGaps, "twice or out of order"},
		"out of order":            {[]item{start, one, zero, four}, noGaps, "twice or out of order"},
		"lives out of order":      {[]item{start, zero, four, one}, noGaps, "twice or out of order"},
		"a position too far":      {[]item{start, here(7, 11), one, four}, noGaps, "1 acknowledged events have not come"},
		"a position gone back":    {[]item{start, zero, here(7, 10), one, four}, noGaps, "told to be at"},
		"what was refused":        {[]item{start, zero, one, got(2, 7, 13), four}, noGaps, "was refused"},
		"another's":               {[]item{start, zero, one, got(5, 7, 13), four}, noGaps, "not for it"},
		"stored twice":            {[]item{start, zero, one, got(1, 7, 13), four}, noGaps, "stored twice"},
		"the unknown twice":       {[]item{start, zero, one, three, got(3, 7, 15), four}, noGaps, "stored twice"},
		"what nobody published":   {[]item{start, zero, one, got(99, 7, 13), four}, noGaps, "never published"},
		"what is no event at all": {[]item{start, zero, one, got(-1, 7, 13), four}, noGaps, "never published"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{}
			mine, others := []broker.Target{{Kind: broker.User, Name: "u"}}, []broker.Target{{Kind: broker.User, Name: "v"}}
			for _, res := range []broker.Result{
				{Position: at(7, 11)}, {Position: at(7, 12)}, {Err: broker.ErrUnavailable},
				{Err: broker.ErrUnknownOutcome},
			} {
				l.settle(l.add(mine), res)
			}
			l.loses()
			l.settle(l.add(mine), broker.Result{Position: at(5, 1)})
			l.settle(l.add(others), broker.Result{Position: at(7, 13)})
			var said complaints
			l.check(&said, []*client{{name: "client", user: "u", items: test.told}}, test.allowed)
			all := strings.Join(said, "\n")
			if test.want == "" && all != "" || !strings.Contains(all, test.want) {
				t.Errorf("got %q, want %q", all, test.want)
			}
		})
	}
}

// TestLedger: what publishers are told may be wrong by itself.
func TestLedger(t *testing.T) {
	p, q := broker.Position{Epoch: 1, Minor: 1}, broker.Position{Epoch: 1, Minor: 2}
	for name, test := range map[string]struct {
		told []broker.Result
		want string
	}{
		"at once":             {[]broker.Result{{Position: p}, {Position: p, Repeated: true}}, ""},
		"at last":             {[]broker.Result{{Err: broker.ErrUnavailable}, {Err: broker.ErrUnknownOutcome}, {Position: p, Repeated: true}}, ""},
		"another place":       {[]broker.Result{{Position: p}, {Position: q, Repeated: true}}, "and again at"},
		"stored anew":         {[]broker.Result{{Position: p}, {Position: p}}, "acknowledged twice"},
		"stored, and refused": {[]broker.Result{{Err: broker.ErrUnavailable}, {Position: p, Repeated: true}}, "never stored"},
		"key of another":      {[]broker.Result{{Err: errors.Join(broker.ErrKeyReused)}}, "another's"},
		"two at one place":    {[]broker.Result{{Position: p}}, "both acknowledged"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{}
			o := l.add(nil)
			for _, res := range test.told {
				l.settle(o, res)
			}
			if name == "two at one place" {
				l.settle(l.add(nil), broker.Result{Position: p})
			}
			var said complaints
			l.check(&said, nil, noGaps)
			all := strings.Join(said, "\n")
			if test.want == "" && all != "" || !strings.Contains(all, test.want) {
				t.Errorf("got %q, want %q", all, test.want)
			}
		})
	}
}

// A short life of the log may be seen only after the next one. It comes in its place all the same.
func TestShortLifeSeenLate(t *testing.T) {
	l := &ledger{}
	for _, p := range []broker.Position{{Epoch: 3, Minor: 10}, {Epoch: 9, Minor: 30}, {Epoch: 5, Minor: 20}} {
		l.sight(p)
	}
	if !slices.Equal(l.lives, []uint64{3, 5, 9}) {
		t.Errorf("the lives are %d", l.lives)
	}
	l.loses() // numbers are given out again
	for _, p := range []broker.Position{{Epoch: 8, Minor: 12}, {Epoch: 4, Minor: 11}, {Epoch: 3, Minor: 9}} {
		l.sight(p)
	}
	if !slices.Equal(l.lives, []uint64{3, 5, 9, 4, 8}) {
		t.Errorf("after a loss, the lives are %d", l.lives)
	}
}
