package http2

import (
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/net/http2"
)

const (
	settingLen = 6
	// initialWindow is the size of each window before any frame changes it.
	initialWindow = 1<<16 - 1
	maxWindow     = 1<<31 - 1
	// maxSettings is how many settings the inner server accepts in a frame.
	maxSettings = 100
)

// settings is what all SETTINGS frames of a client say together.
type settings struct {
	values        []http2.Setting // those that were sent, and that a fresh inner server has to know
	smallestTable uint32          // the smallest SETTINGS_HEADER_TABLE_SIZE, if there was one
}

// merge adds a SETTINGS frame's payload, or returns what is wrong with it.
func (s *settings) merge(p []byte) http2.ErrCode {
	if len(p)%settingLen != 0 {
		return http2.ErrCodeFrameSize
	}
	if len(p) > maxSettings*settingLen {
		return http2.ErrCodeProtocol
	}
	frame := make([]http2.Setting, 0, 8)
	for ; len(p) > 0; p = p[settingLen:] {
		one := http2.Setting{ID: http2.SettingID(binary.BigEndian.Uint16(p)), Val: binary.BigEndian.Uint32(p[2:])}
		if slices.ContainsFunc(frame, func(other http2.Setting) bool { return other.ID == one.ID }) {
			return http2.ErrCodeProtocol // the inner server refuses these as well
		}
		var code http2.ConnectionError
		if err := one.Valid(); errors.As(err, &code) {
			return http2.ErrCode(code)
		}
		frame = append(frame, one)
	}
	for _, one := range frame {
		s.set(one)
	}
	return http2.ErrCodeNo
}

// set adds a setting if a fresh inner server has to know it.
func (s *settings) set(one http2.Setting) {
	switch one.ID {
	case http2.SettingHeaderTableSize:
		if _, known := s.get(one.ID); !known || one.Val < s.smallestTable {
			s.smallestTable = one.Val
		}
	case http2.SettingMaxConcurrentStreams, http2.SettingInitialWindowSize, http2.SettingMaxFrameSize, http2.SettingMaxHeaderListSize:
	default: // pushes are for the first inner server only, and what is unknown is for none
		return
	}
	for i := range s.values {
		if s.values[i].ID == one.ID {
			s.values[i] = one
			return
		}
	}
	s.values = append(s.values, one)
}

func (s *settings) get(id http2.SettingID) (uint32, bool) {
	for _, one := range s.values {
		if one.ID == id {
			return one.Val, true
		}
	}
	return 0, false
}

// window returns how large the client's window for a new stream is.
func (s *settings) window() int64 {
	if v, ok := s.get(http2.SettingInitialWindowSize); ok {
		return int64(v)
	}
	return initialWindow
}

// replay returns the SETTINGS frames that tell a fresh inner server all of this. There is a second one if the size of the header table
// was smaller before: the encoder has to say both to the client (RFC 7541, 4.2), and the inner server refuses a frame that has both.
func (s *settings) replay() (first, second []byte) {
	// A fresh inner server would begin with ids of pushes that were used before.
	frame := []http2.Setting{{ID: http2.SettingEnablePush, Val: 0}}
	for _, one := range s.values {
		if one.ID == http2.SettingHeaderTableSize && one.Val != s.smallestTable {
			second = appendSettings(nil, one)
			one.Val = s.smallestTable
		}
		frame = append(frame, one)
	}
	return appendSettings(nil, frame...), second
}
