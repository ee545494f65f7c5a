package matcher

import (
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// room is the memory of one match: sets of places in its text. What depends on the text alone is worked out once.
type room struct {
	text    string
	words   int    // of a set
	sets    places // one set after the other
	bytes   [256]places
	used    []byte // those of bytes that are not nil
	classes []classPlaces
	spare   []places // for what begin frees
}

// rooms are used by one match after the other.
var rooms = sync.Pool{New: func() any { return new(room) }}

// begin makes room for a number of sets, all empty.
func (r *room) begin(text string, sets int) {
	for _, b := range r.used {
		r.spare, r.bytes[b] = append(r.spare, r.bytes[b]), nil
	}
	for _, c := range r.classes {
		r.spare = append(r.spare, c.single, c.triple)
	}
	r.used, r.classes = r.used[:0], r.classes[:0]
	r.text, r.words = text, len(text)/64+1
	r.sets = emptied(r.sets, r.words*sets)
}

// emptied returns an empty set of a number of words, in the memory of another if that is large enough.
func emptied(s places, words int) places {
	s = slices.Grow(s[:0], words)[:words]
	clear(s)
	return s
}

// at returns a set by its number.
func (r *room) at(i int) places { return r.sets[i*r.words : (i+1)*r.words] }

// fresh returns an empty set that is none of those of begin.
func (r *room) fresh() (s places) {
	if last := len(r.spare) - 1; last >= 0 {
		s, r.spare = r.spare[last], r.spare[:last]
	}
	return emptied(s, r.words)
}

// byte returns the places of a byte.
func (r *room) byte(b byte) places {
	if r.bytes[b] == nil {
		s := r.fresh()
		for p := 0; ; p++ {
			next := strings.IndexByte(r.text[p:], b)
			if next < 0 {
				break
			}
			p += next
			s.add(p)
		}
		r.bytes[b], r.used = s, append(r.used, b)
	}
	return r.bytes[b]
}

// skip adds to one set the places after a fixed text that begins at a place of another.
func (r *room) skip(fixed string, from, to places) {
	moving := r.fresh()
	defer func() { r.spare = append(r.spare, moving) }()
	copy(moving, from)
	for i := range len(fixed) {
		if !moving.advance(r.byte(fixed[i])) {
			return
		}
	}
	to.join(moving)
}

// classPlaces are the places of a class in a text.
type classPlaces struct {
	class          *class
	single, triple places // where a byte of the class is, and where an encoded one begins
}

// class returns the places of a class.
func (r *room) class(c *class) *classPlaces {
	for i := range r.classes {
		if r.classes[i].class == c {
			return &r.classes[i]
		}
	}
	found := classPlaces{c, r.fresh(), r.fresh()}
	for p := range len(r.text) {
		switch c.step(r.text[p:]) {
		case 1:
			found.single.add(p)
		case len("%41"):
			found.triple.add(p)
		}
	}
	r.classes = append(r.classes, found)
	return &r.classes[len(r.classes)-1]
}

// close adds the places after any number of the class. A run of the class is gone through by one addition: it carries from the place
// where the run is entered to its end. A class with encoded bytes has all hex digits as well, so that these are no gaps in a run. But
// no place within an encoded byte is reached from before that.
func (c *classPlaces) close(s places) {
	var carry, before, triples uint64 // before: the word before of s; triples: of triple
	for w, word := range s {
		run := c.single[w] | c.triple[w]
		sum, over := bits.Add64(word&run, run, carry)
		second := c.triple[w]<<1 | triples>>63
		third := c.triple[w]<<2 | triples>>62
		entered := word | (word&second)<<1 | (before&(triples<<1))>>63
		s[w] = (sum^run|word)&^(second|third) | entered&(second|third)
		carry, before, triples = over, word, c.triple[w]
	}
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

// joinAfter adds the places that come n after those which two other sets have in common.
func (s places) joinAfter(n int, a, b places) {
	var before uint64
	for w := range s {
		both := a[w] & b[w]
		s[w] |= both<<n | before>>(64-n)
		before = both
	}
}

// advance moves the places that are in another set on by one, and drops the others. It reports whether there are any.
func (s places) advance(other places) bool {
	var before, any uint64
	for w := range s {
		both := s[w] & other[w]
		s[w] = both<<1 | before>>63
		any |= both
		before = both
	}
	return any != 0
}
