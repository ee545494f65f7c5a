package hub

import (
	"testing"
	"unsafe"
)

// Memory is allocated in size classes: 8 bytes more in an idle connection cost 16.
func TestConnFitsItsSizeClass(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 224 {
		t.Errorf("a Conn takes %d bytes, more than the 224 of its class", n)
	}
}
