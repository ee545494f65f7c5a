//go:build !unix

package pool

import "math"

// descriptors returns how many files the process may open. This system sets no limit.
func descriptors() int { return math.MaxInt32 }
