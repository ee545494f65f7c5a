package stream

import "testing"

// There are no more loops than an event can name, however many processors there are.
func TestLoopsFitIntoAnEvent(t *testing.T) {
	for processors, want := range map[int]int{1: 1, maxLoops - 1: maxLoops - 1, maxLoops: maxLoops, maxLoops + 1: maxLoops, 1000: maxLoops} {
		if got := loopsFor(processors); got != want {
			t.Errorf("%d processors: got %d loops, want %d", processors, got, want)
		}
	}
	last := uint32(maxLoops - 1)
	for _, slot := range []uint32{0, 1, 1 << 24, 1<<31 - 1} {
		for _, gen := range []uint32{0, 1, genMask, genMask + 1, 1<<32 - 1} {
			e, loop := unpack(pack(slot, gen, last))
			if e.slot != slot || e.gen != gen&genMask || loop != last {
				t.Errorf("slot %d, generation %d: got %+v of loop %d", slot, gen, e, loop)
			}
		}
	}
}
