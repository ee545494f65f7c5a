//go:build race

package hubtest

// crowd is how many clients a storm has: fewer where the race detector makes each several times as dear.
const crowd = 2_000
