package main

import (
	"math/bits"
	"time"
)

// steps is into how many a power of two is divided: values are kept to within 1.6 %.
const steps = 64

// histogram counts delays by the microsecond.
type histogram struct {
	counts [steps * 40]uint64
	total  uint64
}

func (h *histogram) add(nanoseconds int64) {
	h.counts[bucket(uint64(max(nanoseconds, 0))/1000)]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the delay that the given part of all stayed below.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.total)), h.total-1)
	for i, n := range h.counts {
		if rank < n {
			return time.Duration(highest(i)) * time.Microsecond
		}
		rank -= n
	}
	return 0
}

func bucket(v uint64) int {
	if v < steps {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(steps-1) - 1
	return min((shift+1)*steps+int(v>>shift)-steps, steps*40-1)
}

// highest is the greatest value in a bucket.
func highest(i int) uint64 {
	if i < steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return (uint64(i%steps+steps+1) << shift) - 1
}
