package transport

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// What crypto/tls keeps of what it has read: the buffers in which records and handshake messages are put together. After a handshake with
// a browser they take 4 to 5 KiB, which is more than all else that an idle connection needs, and they are never given back.
var readBuffers = fields[bytes.Buffer](reflect.TypeFor[tls.Conn](), "rawInput", "hand")

// fields returns the offsets of those fields of a struct that exist and have the type T.
func fields[T any](of reflect.Type, names ...string) (offsets []uintptr) {
	for _, name := range names {
		if f, ok := of.FieldByName(name); ok && f.Type == reflect.TypeFor[T]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}

// release gives back buffers that are empty. Only the reader may call it, between reads. Bytes that crypto/tls has decrypted but not
// returned have a reference of their own. With a version of Go that has other fields it does nothing.
func release(c *tls.Conn) {
	for _, offset := range readBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
