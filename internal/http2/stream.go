package http2

import (
	"cmp"
	"slices"
)

// Feed is what feeds a held stream. Its methods must not block.
type Feed interface {
	// Room is called when there is room again after a Write that had not enough.
	Room()
	// Left is called once if the stream ends otherwise than by End.
	Left(error)
}

// Stream is an open stream. It leaves the state's list when neither the inner server has it any more nor it is held.
type Stream struct {
	feed   Feed    // of a held stream; nil until Attach
	reason error   // why a held stream is over
	window int64   // what the client lets us send on it
	part   *string // what has come of a signal, in pieces

	id          uint32
	inner       bool // the inner server has it
	clientEnded bool // the client has sent END_STREAM
	serverEnded bool // the client has got END_STREAM
	held        bool // what is sent on it is the Conn's
	muted       bool // it was held and is over: the client does not get what the inner server still says about it
	blocked     bool // its feed waits for room
}

// streams is a list in the order of ids. There are few on a connection.
type streams []*Stream

func (list streams) search(id uint32) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(st *Stream, id uint32) int { return cmp.Compare(st.id, id) })
}

func (list streams) find(id uint32) *Stream {
	if i, ok := list.search(id); ok {
		return list[i]
	}
	return nil
}

func (list *streams) add(st *Stream) {
	i, _ := list.search(st.id)
	*list = slices.Insert(*list, i, st)
}

func (list *streams) remove(st *Stream) {
	if i, ok := list.search(st.id); ok {
		*list = slices.Delete(*list, i, i+1)
	}
	if len(*list) == 0 {
		*list = nil
	}
}
