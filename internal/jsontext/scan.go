package jsontext

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deeply encoding/json lets arrays and objects nest.
const maxDepth = 10_000

// skip returns the index after the value that begins at b[i], which lies in depth arrays and objects. It returns -1 if there is no valid
// value. What is open is kept in a list, as a client that nests deeply must not make the stack of its goroutine grow.
func skip(b []byte, i, depth int) int {
	var few [32]byte
	open := few[:0] // the bytes that close what is open
	for {
		if i >= len(b) {
			return -1
		}
		switch c := b[i]; c {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			if len(open)+depth == maxDepth {
				return -1
			}
			shut := c + 2 // the byte that closes it, in ASCII
			if i = skipSpace(b, i+1); i < len(b) && b[i] == shut {
				i++
				break
			}
			open = append(open, shut)
			if c == '{' {
				i = skipName(b, i)
			}
			if i < 0 {
				return -1
			}
			continue
		case 't':
			i = skipWord(b, i, "true")
		case 'f':
			i = skipWord(b, i, "false")
		case 'n':
			i = skipWord(b, i, "null")
		default:
			i = skipNumber(b, i)
		}
		// The value is at its end. So is each one that closes after it.
		for {
			if i < 0 || len(open) == 0 {
				return i
			}
			shut := open[len(open)-1]
			if i = skipSpace(b, i); i == len(b) {
				return -1
			}
			if b[i] == ',' {
				i = skipSpace(b, i+1)
				if shut == '}' {
					i = skipName(b, i)
				}
				if i < 0 {
					return -1
				}
				break
			}
			if b[i] != shut {
				return -1
			}
			open = open[:len(open)-1]
			i++
		}
	}
}

// skipName returns the index of the value whose name begins at b[i], or -1.
func skipName(b []byte, i int) int {
	if i = skipString(b, i); i < 0 {
		return -1
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return skipSpace(b, i+1)
}

// skipSpace returns the index of the first byte from b[i] on that is not space, or len(b).
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at b[i], or -1.
func skipString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		for i+8 <= len(b) {
			special := specials(binary.LittleEndian.Uint64(b[i:]))
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			return -1
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = skipEscape(b, i); i < 0 {
				return -1
			}
		case c < ' ':
			return -1
		}
	}
	return -1
}

// specials marks, in the highest bit of a byte, the first of eight bytes that is a quote, a backslash or a control character.
// Bytes after the first may be marked wrongly.
func specials(eight uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quotes, escapes := eight^ones*'"', eight^ones*'\\'
	return ((eight-ones*' ')&^eight | (quotes-ones)&^quotes | (escapes-ones)&^escapes) & highs
}

// skipEscape returns the index of the last byte of the escape that begins at b[i], or -1.
func skipEscape(b []byte, i int) int {
	if i++; i == len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
	default:
		return -1
	}
	if i+4 >= len(b) {
		return -1
	}
	for _, c := range b[i+1 : i+5] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return -1
		}
	}
	return i + 4
}

// skipWord returns the index after a word that begins at b[i], or -1.
func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipNumber returns the index after the number that begins at b[i], or -1.
func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = skipDigits(b, i)
	}
	return i
}

// skipDigits returns the index after one or more digits that begin at b[i], or -1.
func skipDigits(b []byte, i int) int {
	begin := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == begin {
		return -1
	}
	return i
}

// members returns the index after the object that begins at b[0], or -1. It appends members to into, until that has most.
func members(b []byte, into []Member, most int) (int, []Member) {
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == '}' {
		return i + 1, into
	}
	for {
		end := skipString(b, i)
		if end < 0 {
			return -1, into
		}
		name := b[i:end]
		if i = skipSpace(b, end); i == len(b) || b[i] != ':' {
			return -1, into
		}
		i = skipSpace(b, i+1)
		if end = skip(b, i, 1); end < 0 {
			return -1, into
		}
		if len(into) < most {
			into = append(into, Member{name, b[i:end]})
		}
		switch i = skipSpace(b, end); {
		case i == len(b):
			return -1, into
		case b[i] == '}':
			return i + 1, into
		case b[i] != ',':
			return -1, into
		}
		i = skipSpace(b, i+1)
	}
}
