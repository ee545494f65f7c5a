package ledger

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

func at(epoch, n uint64) broker.Position { return broker.Position{Epoch: epoch, Minor: n} }

func rank(epoch uint64) int { return int(epoch) - 1 }

// account is a ledger with two appends at 5 and 6 of epoch 1.
func account() *Ledger {
	l := &Ledger{}
	l.Start()
	tokens := []string{"a", "b"}
	l.Begin(tokens)
	l.End(tokens, []broker.Result{{Position: at(1, 5)}, {Position: at(1, 6)}})
	return l
}

func TestLedger(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(l *Ledger)
		want bool
	}{
		"nothing was read yet": {func(l *Ledger) { l.Passed(at(1, 4), rank) }, true},
		"both were read":       {func(l *Ledger) { l.Read("a"); l.Read("b") }, false},
		"one was read":         {func(l *Ledger) { l.Read("b") }, true},
		"a hole covers them":   {func(l *Ledger) { l.Passed(at(2, 5), rank) }, false},
		"they are forgotten":   {func(l *Ledger) { l.Forget() }, false},
		"no account is kept":   {func(l *Ledger) { l.Stop() }, false},
		"account starts again": {func(l *Ledger) { l.Start() }, false},
		"a later one is repeated": {func(l *Ledger) {
			l.Forget()
			l.Begin([]string{"c"})
			l.End([]string{"c"}, []broker.Result{{Position: at(1, 6), Repeated: true}})
		}, false},
	} {
		l := account()
		c.do(l)
		if got := l.Passed(at(1, 6), rank); got != c.want {
			t.Errorf("%s: lost %t", name, got)
		}
		if l.Passed(at(1, 9), rank) || len(l.open) > 0 || len(l.order) > 0 {
			t.Errorf("%s: something is left: %v", name, l.open)
		}
	}
}

// The tail may read an append before its answer has come.
func TestReadBeforeTheAnswer(t *testing.T) {
	l := &Ledger{}
	l.Start()
	l.Begin([]string{"a"})
	l.Read("a")
	if l.Passed(at(1, 5), rank) {
		t.Error("lost")
	}
	l.End([]string{"a"}, []broker.Result{{Position: at(1, 5)}})
	if l.Passed(at(1, 9), rank) || len(l.open) > 0 || !l.Highest().IsZero() {
		t.Errorf("something is left: %v", l.open)
	}
}

// A key is used again before the tail has come to its first use.
func TestTokenUsedTwice(t *testing.T) {
	l := account()
	again := []string{"a"}
	l.Begin(again)
	l.End(again, []broker.Result{{Position: at(1, 5), Repeated: true}})
	l.Read("a")
	l.Read("b")
	if l.Passed(at(1, 6), rank) || len(l.open) > 0 {
		t.Errorf("lost, or something is left: %v", l.open)
	}
}

// What is still to come is not lost, and what was acknowledged last is the highest, whatever was read.
func TestStillToCome(t *testing.T) {
	l := account()
	l.Begin([]string{"c"})
	l.End([]string{"c"}, []broker.Result{{Position: at(2, 9)}})
	if got := l.Highest(); got != at(2, 9) {
		t.Errorf("the highest is %v", got)
	}
	l.Read("a")
	l.Read("b")
	if l.Passed(at(1, 20), rank) || l.Passed(at(2, 8), rank) {
		t.Error("what is to come counts as lost")
	}
	if !l.Passed(at(2, 9), rank) {
		t.Error("what was passed unread does not")
	}
}
