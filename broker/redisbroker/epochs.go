package redisbroker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// epoch is one life of the log.
type epoch struct {
	name uint64
	from id // its first entry, a hole; 0-0 if it is the log's first life, which has none
}

func (e epoch) String() string { return strconv.FormatUint(e.name, 36) + " " + e.from.String() }

// start returns the position where the epoch begins.
func (e epoch) start() broker.Position {
	if e.from == (id{}) {
		return e.from.position(e.name, 0)
	}
	return e.from.position(e.name, checkOf(e.marker()))
}

// marker returns the fields of the entry that opens the epoch.
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
			return nil, fmt.Errorf("%q is not an epoch", s)
		}
		if e.from, err = parseID(from); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// find returns the index of an epoch, or -1 if there is none of that name.
func (all epochs) find(name uint64) int {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name == name {
			return i
		}
	}
	return -1
}

// at returns the epoch that an entry belongs to; the zero epoch if it is older than all epochs on record.
func (all epochs) at(i id) (e epoch) {
	for n := len(all) - 1; n >= 0; n-- {
		if !i.less(all[n].from) {
			return all[n]
		}
	}
	return epoch{}
}
