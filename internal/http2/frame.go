package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

const (
	headerLen = 9
	// maxPrefix is how much of a frame's payload is looked at at most. It is a SETTINGS frame of more settings than the inner server
	// accepts.
	maxPrefix = 101 * settingLen
	// maxDataLen is how long a DATA frame may be, whatever the client's SETTINGS_MAX_FRAME_SIZE.
	maxDataLen = 16 << 10
)

// header is the header of a frame.
type header struct {
	length uint32
	kind   http2.FrameType
	flags  http2.Flags
	id     uint32
}

// parseHeader returns the header in b, which has headerLen bytes.
func parseHeader(b []byte) header {
	return header{
		length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		kind:   http2.FrameType(b[3]),
		flags:  http2.Flags(b[4]),
		id:     binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1),
	}
}

func (h header) append(b []byte) []byte {
	b = append(b, byte(h.length>>16), byte(h.length>>8), byte(h.length), byte(h.kind), byte(h.flags))
	return binary.BigEndian.AppendUint32(b, h.id)
}

func (h header) ack() bool        { return h.flags.Has(http2.FlagSettingsAck) } // of SETTINGS and PING
func (h header) endStream() bool  { return h.flags.Has(http2.FlagDataEndStream) }
func (h header) endHeaders() bool { return h.flags.Has(http2.FlagHeadersEndHeaders) }

func appendWindowUpdate(b []byte, id, n uint32) []byte {
	return binary.BigEndian.AppendUint32(header{4, http2.FrameWindowUpdate, 0, id}.append(b), n)
}

func appendReset(b []byte, id uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(header{4, http2.FrameRSTStream, 0, id}.append(b), uint32(code))
}

func appendGoAway(b []byte, last uint32, code http2.ErrCode) []byte {
	b = binary.BigEndian.AppendUint32(header{8, http2.FrameGoAway, 0, 0}.append(b), last)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendSettings(b []byte, settings ...http2.Setting) []byte {
	b = header{uint32(settingLen * len(settings)), http2.FrameSettings, 0, 0}.append(b)
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Val)
	}
	return b
}

func appendSettingsAck(b []byte) []byte {
	return header{0, http2.FrameSettings, http2.FlagSettingsAck, 0}.append(b)
}
