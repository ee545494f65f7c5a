package redisbroker

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	fieldRecord = "r"
	fieldBy     = "by"
	fieldEpoch  = "epoch"
)

// raw is an entry as the stream holds it: names and values in turn.
type raw struct {
	id     id
	fields []string
}

// checkOf returns a checksum that tells an entry from another one of the same id: the first bytes of a SHA-1, which Redis can
// compute too, over all names and values with their lengths. It is never 0.
func checkOf(fields []string) uint32 {
	h := sha1.New()
	var b []byte
	for _, f := range fields {
		b = append(strconv.AppendInt(b[:0], int64(len(f)), 10), ':')
		h.Write(b)
		b = append(b[:0], f...)
		h.Write(b)
	}
	return firstOf(h.Sum(b[:0]))
}

func firstOf(sum []byte) uint32 { return max(1, binary.BigEndian.Uint32(sum)) }

// own returns the record's bytes and the token of an entry that a node has appended.
func (e *raw) own() (record, by string, ok bool) {
	if len(e.fields) != 4 || e.fields[0] != fieldRecord || e.fields[2] != fieldBy {
		return "", "", false
	}
	return e.fields[1], e.fields[3], true
}

// entry reads an entry. If a node wrote the entry and this one cannot read it, because it is newer or damaged, entry returns a
// hole, and the error is also the hole's. Otherwise an error is broker.ErrMalformed: a publish by HTTP would have refused the
// entry, or it belongs to no epoch of the log.
func (e *raw) entry(all epochs) (broker.Entry, error) {
	life := all.at(e.id)
	out := broker.Entry{Position: e.id.position(life.name, checkOf(e.fields))}
	if life.name == 0 {
		return out, fmt.Errorf("%w: it is older than the log's oldest epoch", broker.ErrMalformed)
	}
	var err error
	if record, _, ok := e.own(); ok {
		if out.Record, err = broker.Decode([]byte(record)); err != nil {
			out.Record, out.Err = broker.Record{Kind: broker.Hole, Time: time.UnixMilli(int64(e.id.ms))}, err
		}
	} else if len(e.fields) == 2 && e.fields[0] == fieldEpoch {
		if life.from != e.id || life.start() != out.Position {
			err = fmt.Errorf("%w: an epoch that is not on record", broker.ErrMalformed)
		}
		out.Record.Kind = broker.Hole
	} else {
		out.Record, err = plain(e)
	}
	return out, err
}
