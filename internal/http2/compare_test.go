//lint:file-ignore SA1019 Caddy runs this server, so the tests do.

package http2

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// direct returns a client of the site's server without a Conn between.
func (s *site) direct(t testing.TB) *client {
	t.Helper()
	p := newPlain()
	ctx := context.WithValue(t.Context(), connKey{}, (*Conn)(nil))
	s.conns.Go(func() { s.inner.ServeConn(alone{p}, &http2.ServeConnOpts{Handler: s, Context: ctx, BaseConfig: quiet}) })
	t.Cleanup(func() { _ = p.Close() })
	return newClient(t, nil, far{p})
}

// alone is a plain as the connection of a server.
type alone struct{ *plain }

func (a alone) SetDeadline(time.Time) error { return nil }

// junk sends a frame that may be anything, but no HEADERS of the stream that is held.
func junk(x *client, held uint32, next func(n int) int) string {
	ids := []uint32{0, 1, 1, 3, 3, 5, x.next - 2, x.next, 2, 99}
	id := ids[next(len(ids))]
	kinds := []http2.FrameType{0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 8, 9, 0x10, 0xee}
	kind := kinds[next(len(kinds))]
	if kind == http2.FrameHeaders { // of a stream that is not new, or trailers
		if id %= x.next; id == held {
			id = 0
		}
		_ = x.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: x.block("GET", "/"), EndHeaders: true})
		return fmt.Sprintf("HEADERS id %d", id)
	}
	lengths := map[http2.FrameType]int{2: 5, 3: 4, 4: 6 * next(3), 6: 8, 7: 8, 8: 4, 0: next(100), 0x10: 4 + next(4)}
	length, usual := lengths[kind]
	if !usual || next(8) == 0 {
		length = next(20)
	}
	if kind == http2.FramePushPromise {
		length = max(length, 4) // a server ends the connection without a word otherwise
	}
	if next(3) > 0 && (kind == 4 || kind == 6 || kind == 7) {
		id = 0
	}
	flags := http2.Flags(0)
	if next(4) == 0 {
		flags = http2.Flags(next(256)) &^ http2.FlagDataPadded
	}
	if kind == http2.FrameData {
		flags &^= http2.FlagDataEndStream // when the handler answers is up to the scheduler
	}
	p := make([]byte, length)
	for i := range p {
		p[i] = byte(next(4) * next(90))
	}
	if kind == 8 && next(10) > 0 {
		copy(p, []byte{0, 0})
	}
	if kind == http2.FramePing && length > 0 {
		p[0] = 0 // not the mark of answers
	}
	if kind == 8 && length == 4 && held > 0 && id > 0 {
		p[3] |= 1 // of a stream that is idle or over, an update of 0 is an error of the connection, or none
	}
	if kind == 4 {
		for i := 0; i+6 <= len(p); i += 6 {
			copy(p[i:], []byte{0, []byte{1, 3, 4, 5, 6}[next(5)], 0, byte(next(2)), byte(1 + next(255)), 0}) // a window of 0 would keep answers back
		}
	}
	_ = x.WriteRawFrame(kind, flags, id, p)
	return fmt.Sprintf("%v flags %d id %d % x", kind, flags, id, p)
}

// follow is read for a client that follows what it is told about its header table.
func (x *client) follow() string {
	for {
		got, size := x.read(), uint32(0)
		if n, _ := fmt.Sscanf(got, "SETTINGS table %d", &size); n == 0 {
			return got
		}
		x.enc.SetMaxDynamicTableSizeLimit(size)
		x.enc.SetMaxDynamicTableSize(size)
		_ = x.WriteSettingsAck()
	}
}

// get sends a request, and returns the last thing that is said about it.
func (x *client) get() string {
	id := fmt.Sprint(" ", x.request("GET", "/file?100", true), " ")
	for {
		got := x.follow()
		if strings.HasSuffix(got, "end") && strings.Contains(got, id) || !strings.HasPrefix(got, "HEADERS") && !strings.HasPrefix(got, "DATA") {
			return got
		}
	}
}

// answers returns what comes before the answer to a PING, in an order that does not depend on timing, or before the end.
func (x *client) answers(mark byte) (list []string, over bool) {
	_ = x.WritePing(false, [8]byte{mark})
	last := fmt.Sprintf("PING ack %q", mark)
	for {
		got := x.follow()
		if got == last {
			break
		}
		if !strings.HasPrefix(got, "PING") && !strings.HasPrefix(got, "GOAWAY") && !strings.HasPrefix(got, "RST") &&
			!strings.HasPrefix(got, "HEADERS") && !strings.HasPrefix(got, "DATA") && !strings.HasPrefix(got, "SETTINGS") {
			over = true
			break
		}
		if over = strings.HasPrefix(got, "GOAWAY"); over {
			got = "GOAWAY" + got[strings.LastIndexByte(got, ' '):] // the last stream may be the one that is wrong
		}
		if list = append(list, got); over {
			break
		}
	}
	slices.Sort(list)
	return list, over
}

// compare sends the same to a server with a Conn and to one without, beside a stream that the Conn holds if that is asked for.
func compare(t *testing.T, s *site, next func(n int) int, steps int, held bool) {
	t.Helper()
	with, without := s.frames(t, ample), s.direct(t)
	defer with.Close()
	without.hello(ample)
	var stream uint32 // that is held
	if held {
		name := fmt.Sprintf("%p", with)
		stream, _ = with.hold(s, name)
		without.request("GET", "/events?none", true)
		without.until(fmt.Sprintf("HEADERS %d", stream))
		defer s.forget(name)
	}
	var log []string
	post := !held || next(2) == 0 // otherwise the connection is parked
	for _, x := range []*client{with, without} {
		if x.AllowIllegalWrites = true; post {
			x.request("POST", "/post", false)
		}
	}
	for i := range steps {
		choices := make([]int, 0, 64)
		replay := func(n int) int { v := next(n); choices = append(choices, v); return v }
		if next(4) == 0 {
			log = append(log, "GET")
			got, want := with.get(), without.get()
			if got != want {
				t.Fatalf("after\n%s\ngot  %s\nwant %s", strings.Join(log, "\n"), got, want)
			}
		} else {
			log = append(log, junk(with, stream, replay))
			at := 0
			junk(without, stream, func(int) int { at++; return choices[at-1] })
		}
		mark := byte('A' + i%26)
		got, over := with.answers(mark)
		want, wantOver := without.answers(mark)
		if !slices.Equal(got, want) || over != wantOver {
			t.Fatalf("after\n%s\ngot  %q %v\nwant %q %v", strings.Join(log, "\n"), got, over, want, wantOver)
		}
		if over {
			return
		}
		if err := with.checkWindows(); err != nil {
			t.Fatalf("after\n%s\n%v", strings.Join(log, "\n"), err)
		}
	}
}

// forget takes a stream's feed off the site.
func (s *site) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.feeds, name)
}

// checkWindows returns what the Conn believes wrongly about the connection's windows.
func (x *client) checkWindows() error {
	x.c.wire.Lock()
	defer x.c.wire.Unlock()
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	x.p.mu.Lock()
	unread := append(bytes.Clone(x.p.out), x.c.state.out...)
	x.p.mu.Unlock()
	ahead := client{window: x.window, upload: x.upload}
	for len(unread) > 0 {
		h := parseHeader(unread)
		end := headerLen + int(h.length)
		ahead.got(h, unread[headerLen:end])
		unread = unread[end:]
	}
	w := x.c.state.windows
	if w.toClient != ahead.window || w.fromClient != ahead.upload || w.inner > w.toClient {
		return fmt.Errorf("T is %d, not %d; U is %d, not %d; I is %d", w.toClient, ahead.window, w.fromClient, ahead.upload, w.inner)
	}
	return nil
}

// Whatever a client sends, it gets the same answers as from a server without a Conn, beside a held stream as well.
func TestSameAnswers(t *testing.T) {
	s := newSite(t)
	for _, held := range []bool{false, true} {
		for seed := range uint64(300) {
			compare(t, s, rand.New(rand.NewPCG(seed, 13)).IntN, 20, held)
		}
	}
}

func FuzzFrames(f *testing.F) {
	for seed := range uint64(20) {
		random, b := rand.New(rand.NewPCG(seed, 14)), make([]byte, 300)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b, seed%2 == 0)
	}
	s := newSite(f) // for all inputs: its end waits until servers have lingered after a GOAWAY, a second each
	f.Fuzz(func(t *testing.T, b []byte, held bool) {
		compare(t, s, func(n int) int {
			v := 0
			if len(b) > 0 {
				v, b = int(b[0]), b[1:]
			}
			return v % n
		}, min(len(b), 20), held)
	})
}
