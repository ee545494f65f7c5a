package matcher

import (
	"strings"
	"sync"
)

// machine matches whole texts. It visits each instruction at each place of the text at most once. A regular expression of the
// standard library is as bounded, but takes fixed text a character at a time, which makes the slowest patterns much slower.
type machine []instruction

type operation uint8

const (
	fixedText operation = iota // the text comes next
	one                        // one of the class comes next
	many                       // any number of the class, none as well
	either                     // go on here, or at next
	jump                       // go on at next
)

type instruction struct {
	operation
	text  string
	class *class
	next  int
}

// class is a set of bytes.
type class struct {
	bytes   [4]uint64
	encoded bool // a percent-encoded byte counts as one, too
}

// classOf returns a class of bytes.
func classOf(encoded bool, has func(byte) bool) *class {
	c := &class{encoded: encoded}
	for i := range 256 {
		if has(byte(i)) {
			c.bytes[i/64] |= 1 << (i % 64)
		}
	}
	return c
}

// step returns how many bytes of the text are one of the class, or 0.
func (c *class) step(text string) int {
	switch {
	case text == "":
		return 0
	case c.bytes[text[0]/64]&(1<<(text[0]%64)) != 0:
		return 1
	case c.encoded && len(text) >= 3 && text[0] == '%' && unhex(text[1]) < 16 && unhex(text[2]) < 16:
		return 3
	}
	return 0
}

// add adds instructions.
func (m *machine) add(i ...instruction) { *m = append(*m, i...) }

// fixed adds a fixed text.
func (m *machine) fixed(text string) {
	if text != "" {
		m.add(instruction{operation: fixedText, text: text})
	}
}

// optional adds what f adds, so that it may be left out.
func (m *machine) optional(f func()) {
	at := len(*m)
	m.add(instruction{operation: either})
	f()
	(*m)[at].next = len(*m)
}

// repeated adds what f adds, so that it may come any number of times, or not at all.
func (m *machine) repeated(f func()) {
	at := len(*m)
	m.optional(func() {
		f()
		m.add(instruction{operation: jump, next: at})
	})
}

// attempt is the memory of a match.
type attempt struct {
	visited []uint64
	threads []thread
}

// thread is an instruction to go on with, at a place of the text.
type thread struct{ at, place int }

var attempts = sync.Pool{New: func() any { return new(attempt) }}

// match reports whether the machine matches a text.
func (m machine) match(text string) bool {
	a := attempts.Get().(*attempt)
	defer attempts.Put(a)
	places := len(text) + 1
	words := (len(m)*places + 63) / 64
	if cap(a.visited) < words {
		a.visited = make([]uint64, words)
	}
	a.visited = a.visited[:words]
	clear(a.visited)
	a.threads = append(a.threads[:0], thread{})
	for len(a.threads) > 0 {
		t := a.threads[len(a.threads)-1]
		a.threads = a.threads[:len(a.threads)-1]
		if m.follow(a, t, text) {
			return true
		}
	}
	return false
}

// follow goes on with a thread until it fails. It reports whether the thread has come to the end of machine and text.
func (m machine) follow(a *attempt, t thread, text string) bool {
	for t.at < len(m) {
		visit := t.at*(len(text)+1) + t.place
		if a.visited[visit/64]&(1<<(visit%64)) != 0 {
			return false
		}
		a.visited[visit/64] |= 1 << (visit % 64)
		i := &m[t.at]
		t.at++
		switch i.operation {
		case fixedText:
			if !strings.HasPrefix(text[t.place:], i.text) {
				return false
			}
			t.place += len(i.text)
		case one:
			n := i.class.step(text[t.place:])
			if n == 0 {
				return false
			}
			t.place += n
		case many:
			if n := i.class.step(text[t.place:]); n > 0 {
				a.threads = append(a.threads, thread{t.at - 1, t.place + n})
			}
		case either:
			a.threads = append(a.threads, thread{i.next, t.place})
		case jump:
			t.at = i.next
		}
	}
	return t.place == len(text)
}

// size returns about how many bytes the machine takes, its classes included.
func (m machine) size() int { return 128 * len(m) }
