//go:build race

package hubtest

// crowd is how many clients a storm has: fewer with the race detector, which makes each several times as expensive.
const crowd = 500
