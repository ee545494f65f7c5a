package filebroker

import (
	"fmt"
	"syscall"
	"testing"
)

// mountSmall mounts a file system of so many bytes for the test.
func mountSmall(t *testing.T, dir string, size int) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return nil
}
