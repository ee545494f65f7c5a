package doctor

// fate says what has cut a stream that was idle.
type fate int

const (
	unknown  fate = iota // no stream that was kept busy tells
	silenced             // its silence
	limited              // a limit of the whole answer
)
