package http2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// A client that has not seen the GOAWAY yet may send more than HEADERS for a new stream. That does no harm to held ones.
func TestStreamAfterGoAway(t *testing.T) {
	for name, send := range map[string]func(x *client, id uint32) error{
		"DATA":          func(x *client, id uint32) error { return x.WriteData(id, true, []byte("hello")) },
		"WINDOW_UPDATE": func(x *client, id uint32) error { return x.WriteWindowUpdate(id, 1000) },
		"RST_STREAM":    func(x *client, id uint32) error { return x.WriteRSTStream(id, http2.ErrCodeCancel) },
		"trailers": func(x *client, id uint32) error {
			return x.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: x.block("GET", "/"), EndStream: true, EndHeaders: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			x := s.frames(t, ample)
			id, f := x.hold(s, "a")
			s.Shutdown()
			x.ok(send(x, x.request("POST", "/post", false)))
			x.ping()
			if _, err := f.st.Write([]byte(":\n")); err != nil {
				t.Fatal(err)
			}
			x.expect(fmt.Sprintf("DATA %d %q", id, ":\n"))
			x.ok(x.WriteSettingsAck()) // one too many
			x.until(fmt.Sprintf("GOAWAY %d PROTOCOL_ERROR", id))
		})
	}
}
