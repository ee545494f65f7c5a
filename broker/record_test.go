package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"
)

var full = Record{
	Kind: Event, Targets: []Target{{Broadcast, ""}, {User, "u/1"}, {Topic, "a/b"}, {Connection, "c"}}, Exclude: []string{"x", "y"},
	Type: "type", ID: "id", Data: []byte("data\n\x00"), Retry: 1500 * time.Millisecond, TTL: time.Minute, Coalesce: "co",
	Key: "key", Public: true, Receipt: 1<<63 + 5, Digest: [16]byte{1, 2, 3}, Time: time.Unix(1700000000, 123),
}

func TestRecordComesBack(t *testing.T) {
	for _, r := range []Record{
		{}, {Kind: Hole}, {Kind: Disconnect, Targets: []Target{{User, "u"}}}, full,
		{Kind: Deny, Targets: []Target{{User, "u"}}, TTL: time.Second}, {Kind: Supersede, Targets: []Target{{Connection, "c"}}},
		{Kind: Join, Targets: []Target{{User, "u"}}, Topics: []string{"a", "b/*"}}, {Kind: Leave, Topics: []string{"a"}},
		{Kind: Join, Targets: []Target{{Connection, "c"}}, Topics: []string{"a"}, Since: Position{Epoch: 5, Major: 7, Minor: 9, Check: 3}, Partial: true, Read: Position{Epoch: 5, Major: 8}},
	} {
		got, err := Decode(r.Encode(nil))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	}
}

func TestRecordOfAnotherVersion(t *testing.T) {
	field := func(tag uint64) []byte {
		return append(binary.AppendUvarint(full.Encode(nil), tag), 1, 'v')
	}
	if got, err := Decode(field(1000)); err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("an unknown field that does not matter: %+v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"critical field": field(1001), "format": {2, 0}, "kind": {1, byte(lastKind) + 1}, "target": {1, 0, fieldTarget, 1, 9},
	} {
		if _, err := Decode(b); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no version has ever written is not of a newer one.
func TestRecordOfNoVersion(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": nil, "one byte": {1}, "format": {0, 0}, "target": {1, 0, fieldTarget, 1, 0}, "empty target": {1, 0, fieldTarget, 0}, "cut off": {1, 0, fieldData, 9, 1},
	} {
		if _, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(full.Encode(nil))
	f.Add([]byte{1, 0, fieldTarget, 0})
	f.Add([]byte{1, 0, fieldData, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		once := r.Encode(nil)
		again, err := Decode(once)
		if err != nil || !bytes.Equal(again.Encode(nil), once) {
			t.Fatalf("%+v is not stable: %+v, %v", r, again, err)
		}
	})
}
