package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A record is stored as one byte for the version of the format, one byte for its kind, and fields. A field is a tag, a
// length (both unsigned varints) and that many bytes. A reader skips a field that it does not know, unless the tag is
// odd: then the record may mean something else without it, and the reader must not guess.

// formatVersion is the version that Encode writes. A newer version has another layout.
const formatVersion = 1

var (
	// ErrMalformed: the bytes are not a record.
	ErrMalformed = errors.New("the record is malformed")
	// ErrNewer: the record has something in it that this version does not know and that changes its meaning.
	ErrNewer = errors.New("the record has a newer format")
)

const (
	fieldTarget   = 1 // its kind and name
	fieldExclude  = 3
	fieldType     = 2
	fieldID       = 4
	fieldData     = 6
	fieldRetry    = 8 // milliseconds
	fieldTTL      = 5 // nanoseconds
	fieldTopic    = 7
	fieldCoalesce = 10
	fieldKey      = 12
	fieldDigest   = 14
	fieldTime     = 16 // nanoseconds since 1970
	fieldReceipt  = 18
	fieldEnds     = 20
	fieldSince    = 22 // a position's text
	fieldPartial  = 24
	fieldRead     = 26 // a position's text
	fieldPublic   = 28 // a node that does not know it takes the event for a private one
)

// Encode appends the stored form of the record to b.
func (r *Record) Encode(b []byte) []byte {
	b = append(b, formatVersion, byte(r.Kind))
	text := func(tag uint64, s string) {
		if s != "" {
			b = append(binary.AppendUvarint(binary.AppendUvarint(b, tag), uint64(len(s))), s...)
		}
	}
	number := func(tag uint64, n int64) {
		if n != 0 {
			b = binary.BigEndian.AppendUint64(append(binary.AppendUvarint(b, tag), 8), uint64(n))
		}
	}
	for _, t := range r.Targets {
		b = binary.AppendUvarint(binary.AppendUvarint(b, fieldTarget), uint64(1+len(t.Name)))
		b = append(append(b, byte(t.Kind)), t.Name...)
	}
	for _, id := range r.Exclude {
		text(fieldExclude, id)
	}
	for _, topic := range r.Topics {
		text(fieldTopic, topic)
	}
	for _, claim := range r.Ends {
		text(fieldEnds, claim)
	}
	text(fieldSince, r.Since.String())
	if r.Partial {
		text(fieldPartial, "1")
	}
	text(fieldRead, r.Read.String())
	if r.Public {
		text(fieldPublic, "1")
	}
	text(fieldType, r.Type)
	text(fieldID, r.ID)
	number(fieldRetry, r.Retry.Milliseconds())
	number(fieldTTL, int64(r.TTL))
	text(fieldCoalesce, r.Coalesce)
	text(fieldKey, r.Key)
	if r.Digest != [16]byte{} {
		text(fieldDigest, string(r.Digest[:]))
	}
	number(fieldReceipt, int64(r.Receipt))
	if !r.Time.IsZero() {
		number(fieldTime, r.Time.UnixNano())
	}
	if len(r.Data) > 0 {
		b = append(binary.AppendUvarint(binary.AppendUvarint(b, fieldData), uint64(len(r.Data))), r.Data...)
	}
	return b
}

// Decode reads a record's stored form. The record's data is a part of b; its other fields are copies. The error
// wraps ErrMalformed or ErrNewer.
func Decode(b []byte) (r Record, err error) {
	if len(b) < 2 {
		return r, ErrMalformed
	}
	if b[0] < formatVersion {
		return r, ErrMalformed
	}
	if b[0] != formatVersion {
		return r, fmt.Errorf("%w: format %d", ErrNewer, b[0])
	}
	if r.Kind = Kind(b[1]); r.Kind > lastKind {
		return r, fmt.Errorf("%w: kind %d", ErrNewer, r.Kind)
	}
	for b = b[2:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return r, ErrMalformed
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return r, ErrMalformed
		}
		if err := r.set(tag, b[n:n+int(size)]); err != nil {
			return r, err
		}
		b = b[n+int(size):]
	}
	return r, nil
}

// set sets the field that a tag stands for.
func (r *Record) set(tag uint64, v []byte) error {
	number := func() (n int64) {
		if len(v) == 8 {
			n = int64(binary.BigEndian.Uint64(v))
		}
		return n
	}
	switch tag {
	case fieldTarget:
		if len(v) == 0 {
			return ErrMalformed
		}
		t := Target{TargetKind(v[0]), string(v[1:])}
		if t.Kind < Broadcast {
			return ErrMalformed
		}
		if t.Kind > Connection {
			return fmt.Errorf("%w: target of kind %d", ErrNewer, t.Kind)
		}
		r.Targets = append(r.Targets, t)
	case fieldExclude:
		r.Exclude = append(r.Exclude, string(v))
	case fieldTopic:
		r.Topics = append(r.Topics, string(v))
	case fieldEnds:
		r.Ends = append(r.Ends, string(v))
	case fieldSince:
		r.Since, _ = ParsePosition(string(v))
	case fieldPartial:
		r.Partial = true
	case fieldRead:
		r.Read, _ = ParsePosition(string(v))
	case fieldPublic:
		r.Public = true
	case fieldType:
		r.Type = string(v)
	case fieldID:
		r.ID = string(v)
	case fieldData:
		r.Data = v
	case fieldReceipt:
		r.Receipt = uint64(number())
	case fieldRetry:
		r.Retry = time.Duration(number()) * time.Millisecond
	case fieldTTL:
		r.TTL = time.Duration(number())
	case fieldCoalesce:
		r.Coalesce = string(v)
	case fieldKey:
		r.Key = string(v)
	case fieldDigest:
		copy(r.Digest[:], v)
	case fieldTime:
		r.Time = time.Unix(0, number())
	default:
		if tag&1 == 1 {
			return fmt.Errorf("%w: field %d", ErrNewer, tag)
		}
	}
	return nil
}
