//go:build !linux

package filebroker

import "os"

// syncData makes what was written durable.
func syncData(f *os.File) error { return f.Sync() }

// allocate would set room aside; here the file grows as it is written.
func allocate(*os.File, int64) error { return nil }
