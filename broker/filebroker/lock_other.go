//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package filebroker

import (
	"errors"
	"os"
	"syscall"
)

// lock does nothing: on this system, other processes are not kept away.
func lock(*os.File) (held bool, err error) { return false, nil }

func inode(os.FileInfo) uint64 { return 0 }

// isFull reports whether an error says that there is no space left.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// syncDir does nothing: it leaves a directory's entries to the system.
func syncDir(string) error { return nil }
