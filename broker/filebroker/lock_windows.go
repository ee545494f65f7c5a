package filebroker

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks a file for this process, until the file is closed. held reports that another process has locked it.
func lock(f *os.File) (held bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	return errors.Is(err, windows.ERROR_LOCK_VIOLATION), err
}

func inode(os.FileInfo) uint64 { return 0 }

// isFull reports whether an error says that there is no space left.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// syncDir does nothing: Windows has no such call.
func syncDir(string) error { return nil }
