//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package filebroker

import (
	"errors"
	"os"
	"syscall"
)

// lock would keep other processes away; here nothing does.
func lock(*os.File) (held bool, err error) { return false, nil }

func inode(os.FileInfo) uint64 { return 0 }

// isFull reports whether an error says that there is no space left.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// syncDir leaves a directory's entries to the system.
func syncDir(string) error { return nil }
