//go:build !linux

package filebroker

import "os"

// syncData makes written bytes durable.
func syncData(f *os.File) error { return f.Sync() }

// allocate does nothing: on this system, the file grows as it is written.
func allocate(*os.File, int64) error { return nil }
