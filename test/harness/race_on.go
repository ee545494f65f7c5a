//go:build race

package harness

// raceFlag builds Caddy as the tests are built.
const raceFlag = "-race=true"
