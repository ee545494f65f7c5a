package redisbroker

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// id is an entry's number in the stream.
type id struct{ ms, seq uint64 }

func parseID(s string) (id, error) {
	ms, seq, ok := strings.Cut(s, "-")
	a, err := strconv.ParseUint(ms, 10, 64)
	b, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok || err != nil || err2 != nil {
		return id{}, fmt.Errorf("%q is no id of a stream", s)
	}
	return id{a, b}, nil
}

func (i id) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

func (i id) less(j id) bool { return i.ms < j.ms || i.ms == j.ms && i.seq < j.seq }

func (i id) next() id {
	if i.seq == math.MaxUint64 {
		return id{i.ms + 1, 0}
	}
	return id{i.ms, i.seq + 1}
}

func (i id) before() id {
	if i.seq == 0 {
		return id{i.ms - 1, math.MaxUint64}
	}
	return id{i.ms, i.seq - 1}
}

func idOf(p broker.Position) id { return id{p.Major, p.Minor} }

func (i id) position(epoch uint64, check uint32) broker.Position {
	return broker.Position{Epoch: epoch, Major: i.ms, Minor: i.seq, Check: check}
}

// epoch is one life of the log.
type epoch struct {
	name uint64
	from id // its first entry, a hole; 0-0 where it is the log's first life, which has none
}

func (e epoch) String() string { return strconv.FormatUint(e.name, 36) + " " + e.from.String() }

// start is the position where the epoch begins.
func (e epoch) start() broker.Position {
	if e.from == (id{}) {
		return e.from.position(e.name, 0)
	}
	return e.from.position(e.name, checkOf(e.marker()))
}

// marker is the entry that opens the epoch.
func (e epoch) marker() []string {
	return []string{fieldEpoch, strconv.FormatUint(e.name, 36)}
}

// epochs are the lives of a log, oldest first.
type epochs []epoch

func parseEpochs(texts []string) (all epochs, err error) {
	for _, s := range texts {
		name, from, _ := strings.Cut(s, " ")
		var e epoch
		if e.name, err = strconv.ParseUint(name, 36, 64); err != nil || e.name == 0 {
			return nil, fmt.Errorf("%q is no epoch", s)
		}
		if e.from, err = parseID(from); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// find returns the place of an epoch, -1 where there is none of that name.
func (all epochs) find(name uint64) int {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name == name {
			return i
		}
	}
	return -1
}

// at returns the epoch that an entry belongs to. What is older than the oldest epoch on record belongs to none.
func (all epochs) at(i id) (e epoch) {
	for n := len(all) - 1; n >= 0; n-- {
		if !i.less(all[n].from) {
			return all[n]
		}
	}
	return epoch{}
}
