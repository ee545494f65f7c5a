package filebroker

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// control calls a function of the system, and again if it was interrupted.
func control(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; failed == unix.EINTR; {
			failed = call(int(fd))
		}
	}); err != nil {
		return err
	}
	return failed
}

// syncData makes written bytes durable, with only as much metadata as is needed to read them.
func syncData(f *os.File) error {
	return control(f, unix.Fdatasync)
}

// allocate allocates room on the disk, and makes the file that long.
func allocate(f *os.File, size int64) error {
	err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // this file system cannot do that
	}
	return err
}
