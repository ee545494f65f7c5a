package matcher

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

// match reports whether the machine matches a text. It goes through the instructions with the set of all places to which those before
// can lead, 64 places at a time.
func (m machine) match(text string) bool {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	r.begin(text, len(m)+2)
	r.at(0).add(0)
	looped := r.at(len(m) + 1) // places from which the loop has been tried; loops are not nested
	for i := 0; i < len(m); i++ {
		from, to := r.at(i), r.at(i+1)
		switch in := &m[i]; in.operation {
		case fixedText:
			r.skip(in.text, from, to)
		case one:
			c := r.class(in.class)
			to.joinAfter(1, from, c.single)
			if in.class.encoded {
				to.joinAfter(len("%41"), from, c.triple)
			}
		case many:
			r.class(in.class).close(from)
			to.join(from)
		case either:
			r.at(in.next).join(from)
			to.join(from)
		case jump:
			head, again := r.at(in.next), false
			looped.join(head)
			for w := range head {
				head[w] = from[w] &^ looped[w]
				again = again || head[w] != 0
			}
			if again {
				clear(r.sets[(in.next+1)*r.words : (i+1)*r.words])
				i = in.next - 1
			} else {
				clear(looped)
			}
		}
	}
	return r.at(len(m)).has(len(text))
}

// effort returns about how long a match of the longest text may take, in tenths of a microsecond.
func (m machine) effort() int {
	steps := 0
	for i, in := range m {
		if steps += 1 + len(in.text); in.operation == jump {
			steps += 100 * (i - in.next)
		}
	}
	return steps / 2
}

// size returns about how many bytes the machine takes, its classes included.
func (m machine) size() int { return 96 * len(m) }
