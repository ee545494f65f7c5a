//go:build !unix

package pool

import "math"

// descriptors is how many files the process may open: where the system sets no limit, as many as it likes.
func descriptors() int { return math.MaxInt32 }
