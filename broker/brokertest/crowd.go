//go:build !race

package brokertest

// crowd is how many clients a storm has.
const crowd = 10_000
