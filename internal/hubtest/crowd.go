//go:build !race

package hubtest

// crowd is how many clients a storm has.
const crowd = 10_000
