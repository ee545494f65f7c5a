package matcher

import "sync"

// machine matches whole texts. A regular expression of the standard library would do as well, but takes many times as long for the
// slowest patterns: it goes on from one place in the text at a time, and takes fixed text one character at a time.
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

// places is a set of places in a text, a bit each.
type places []uint64

func (s places) has(at int) bool { return s[at/64]&(1<<(at%64)) != 0 }

func (s places) add(at int) { s[at/64] |= 1 << (at % 64) }

// join adds the places of another set.
func (s places) join(other places) {
	for i, word := range other {
		s[i] |= word
	}
}

// memory is what matches use, one after the other.
var memory = sync.Pool{New: func() any { return new(places) }}

// match reports whether the machine matches a text. It goes through the instructions with the set of all places to which those before
// can lead.
func (m machine) match(text string) bool {
	words := len(text)/64 + 1
	room := memory.Get().(*places)
	defer memory.Put(room)
	if all := words * (len(m) + 2); cap(*room) < all {
		*room = make(places, all)
	} else {
		*room = (*room)[:all]
		clear(*room)
	}
	at := func(i int) places { return (*room)[i*words : (i+1)*words] } // before instruction i
	at(0).add(0)
	looped := at(len(m) + 1) // places from which the loop has been tried; loops are not nested
	for i := 0; i < len(m); i++ {
		from, to := at(i), at(i+1)
		switch in := &m[i]; in.operation {
		case fixedText:
			for p := range len(text) - len(in.text) + 1 {
				if from.has(p) && text[p] == in.text[0] && text[p:p+len(in.text)] == in.text {
					to.add(p + len(in.text))
				}
			}
		case one:
			for p := range len(text) {
				if n := in.class.step(text[p:]); n > 0 && from.has(p) {
					to.add(p + n)
				}
			}
		case many:
			for p := range len(text) {
				if from.has(p) {
					from.add(p + in.class.step(text[p:]))
				}
			}
			to.join(from)
		case either:
			at(in.next).join(from)
			to.join(from)
		case jump:
			head, again := at(in.next), false
			looped.join(head)
			for w := range head {
				head[w] = from[w] &^ looped[w]
				again = again || head[w] != 0
			}
			if again {
				clear((*room)[(in.next+1)*words : (i+1)*words])
				i = in.next - 1
			} else {
				clear(looped)
			}
		}
	}
	return at(len(m)).has(len(text))
}

// size returns about how many bytes the machine takes, its classes included.
func (m machine) size() int { return 96 * len(m) }
