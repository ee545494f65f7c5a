package broker

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
)

// Position is a place in a log's order. Epoch names one life of the log, and Major and Minor order the
// entries within it. Check, if a broker uses it, tells two entries of the same number apart. Positions are
// comparable with ==. The zero Position stands for none.
type Position struct {
	Epoch        uint64
	Major, Minor uint64
	Check        uint32
}

// NewEpoch returns a random epoch, never zero. 40 bits keep an id short, and a log has few lives.
func NewEpoch() uint64 {
	var b [8]byte
	for {
		rand.Read(b[3:])
		if e := binary.BigEndian.Uint64(b[:]); e != 0 {
			return e
		}
	}
}

// IsZero reports whether p stands for no position.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders two positions of the same epoch: -1, 0 or 1.
func (p Position) Compare(q Position) int {
	switch {
	case p.Major < q.Major, p.Major == q.Major && p.Minor < q.Minor:
		return -1
	case p.Major == q.Major && p.Minor == q.Minor:
		return 0
	}
	return 1
}

// String returns the text form. It is URL-safe, opaque to clients, and holds no "~". That of the zero Position is "".
func (p Position) String() string {
	var buf [maxPositionText]byte
	return string(p.AppendText(buf[:0]))
}

// AppendText appends the text form: epoch "." [major "-"] minor ["." check], all in base 36.
func (p Position) AppendText(b []byte) []byte {
	if p.IsZero() {
		return b
	}
	b = append(strconv.AppendUint(b, p.Epoch, 36), '.')
	if p.Major != 0 {
		b = append(strconv.AppendUint(b, p.Major, 36), '-')
	}
	b = strconv.AppendUint(b, p.Minor, 36)
	if p.Check != 0 {
		b = strconv.AppendUint(append(b, '.'), uint64(p.Check), 36)
	}
	return b
}

// maxPositionText is the longest text form: four numbers and three separators.
const maxPositionText = 13 + 1 + 13 + 1 + 13 + 1 + 7

// ParsePosition reads the text form. It accepts only what String returns, so each position has one text.
func ParsePosition(s string) (p Position, ok bool) {
	if s == "" || len(s) > maxPositionText {
		return Position{}, false
	}
	epoch, rest, found := strings.Cut(s, ".")
	order, check, hasCheck := strings.Cut(rest, ".")
	major, minor, hasMajor := strings.Cut(order, "-")
	if !hasMajor {
		major, minor = "", order
	}
	ok = found
	number := func(s string, bits int) uint64 {
		n, err := strconv.ParseUint(s, 36, bits)
		ok = ok && err == nil
		return n
	}
	p.Epoch, p.Minor = number(epoch, 64), number(minor, 64)
	if hasMajor {
		p.Major = number(major, 64)
	}
	if hasCheck {
		p.Check = uint32(number(check, 32))
	}
	if !ok || p.String() != s {
		return Position{}, false
	}
	return p, true
}
