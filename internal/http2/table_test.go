package http2

import (
	"fmt"
	"testing"
)

// Before the client has emptied its header table, no other inner server can read its headers.
func TestHeaderTable(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	x.request("GET", "/events?a", true)
	x.until("SETTINGS table 0")
	s.feed(t, "a")
	for range 50 { // time enough to let go of the inner server
		x.ping()
	}
	get := x.request("GET", "/file?5", true) // with indexes of the table
	x.until(fmt.Sprintf("DATA %d %q end", get, file[:5]))
	x.enc.SetMaxDynamicTableSizeLimit(0)
	x.ok(x.WriteSettingsAck())
	x.parked()
	get = x.request("GET", "/file?6", true)
	x.until(fmt.Sprintf("DATA %d %q end", get, file[:6]))
}

// A client that makes many requests beside a stream gets its header table back, until they end.
func TestHeaderTableOfBusyClient(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	x.hold(s, "a")
	post := x.request("POST", "/post", false) // keeps the inner server
	for range busy {
		x.request("POST", "/post", true)
	}
	x.until("SETTINGS table 4096")
	x.enc.SetMaxDynamicTableSizeLimit(defaultTableSize)
	x.enc.SetMaxDynamicTableSize(defaultTableSize)
	x.ok(x.WriteSettingsAck())
	lengths := make([]int, 2)
	for i := range lengths {
		get := x.request("GET", "/file?5", true)
		lengths[i] = x.buf.Len()
		x.until(fmt.Sprintf("DATA %d %q end", get, file[:5]))
	}
	if lengths[1] >= lengths[0] {
		t.Errorf("the headers of one request take %d bytes, of the next %d", lengths[0], lengths[1])
	}
	x.ok(x.WriteData(post, true, nil))
	x.until("SETTINGS table 0")
	get := x.request("GET", "/file?6", true) // with indexes of the table
	x.until(fmt.Sprintf("DATA %d %q end", get, file[:6]))
	x.enc.SetMaxDynamicTableSizeLimit(0)
	x.ok(x.WriteSettingsAck())
	x.parked()
	get = x.request("GET", "/file?7", true)
	x.until(fmt.Sprintf("DATA %d %q end", get, file[:7]))
	if s.fresh != 3 {
		t.Errorf("%d inner servers", s.fresh)
	}
}
