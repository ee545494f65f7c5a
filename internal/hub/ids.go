package hub

import "hash/maphash"

// ids has the places of the window's entries by the id that their publisher gave, or by the same hash. The window's lock guards it. A
// nil ids keeps none.
type ids struct {
	seed maphash.Seed
	seqs map[uint64][]uint64 // by the id's hash, oldest first
}

func newIDs() *ids { return &ids{maphash.MakeSeed(), map[uint64][]uint64{}} }

// add adds the newest entry.
func (x *ids) add(id []byte, seq uint64) {
	if x != nil && id != nil {
		key := maphash.Bytes(x.seed, id)
		x.seqs[key] = append(x.seqs[key], seq)
	}
}

// remove removes the oldest entry.
func (x *ids) remove(id []byte) {
	if x == nil || id == nil {
		return
	}
	key := maphash.Bytes(x.seed, id)
	if rest := x.seqs[key][1:]; len(rest) > 0 {
		x.seqs[key] = rest
	} else {
		delete(x.seqs, key)
	}
}

// places returns the places of an id, and perhaps those of others.
func (x *ids) places(id string) []uint64 { return x.seqs[maphash.String(x.seed, id)] }
