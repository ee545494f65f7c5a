// Package feed turns the bytes of an upstream into events of one topic of a hub.
//
// A [Feed] is written to as the bytes arrive. It reads them as an event stream, as lines or as text, and publishes what is
// complete. A log that lags makes it wait, and so slows the upstream down. It knows no HTTP.
package feed
