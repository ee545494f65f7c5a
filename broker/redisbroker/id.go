package redisbroker

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// id is the id of an entry of the stream.
type id struct{ ms, seq uint64 }

func parseID(s string) (id, error) {
	ms, seq, ok := strings.Cut(s, "-")
	a, err := strconv.ParseUint(ms, 10, 64)
	b, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok || err != nil || err2 != nil {
		return id{}, fmt.Errorf("%q is not a stream's id", s)
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
