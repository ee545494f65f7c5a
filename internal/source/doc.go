// Package source holds shared sources: event streams of the site that the proxy itself opens, once for all clients that may
// share them. It reads each into a log and gives it to everyone who listens, so that an open tab costs the app nothing.
package source
