package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const stream = "event: sse:connected\nretry: 1000\ndata: {}\nid: 1\n\n:\ndata: @a000000000000000000000000xxx\nid: 2\n\nevent: sse:gap\ndata: {}\n\n"

// chunk cuts a body into chunks of a size, whatever they cut through.
func chunk(body string, size int) string {
	var out strings.Builder
	for piece := range slices.Chunk([]byte(body), size) {
		fmt.Fprintf(&out, "%x\r\n%s\r\n", len(piece), piece)
	}
	return out.String()
}

func TestParserReadsWhateverItIsCutInto(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	bodies := map[string]string{"raw": head + "\r\n" + stream}
	for _, size := range []int{1, 7, 16, 1000} {
		bodies[fmt.Sprintf("chunks of %d", size)] = head + "transfer-encoding: chunked\r\n\r\n" + chunk(stream, size)
	}
	want := strings.Split(strings.TrimSuffix(stream, "\n"), "\n")
	for name, response := range bodies {
		for _, size := range []int{1, 2, 3, 50, 10_000} {
			var p parser
			var got []string
			for piece := range slices.Chunk([]byte(response), size) {
				if err := p.feed(slices.Clone(piece), func(line []byte) { got = append(got, string(line)) }); err != nil {
					t.Fatalf("%s, %d bytes at a time: %v", name, size, err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %d bytes at a time: got %q, want %q", name, size, got, want)
			}
		}
	}
}

func TestParserSeesTheEndAndErrors(t *testing.T) {
	ignore := func([]byte) {}
	var p parser
	if err := p.feed([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n:\r\n0\r\n\r\n"), ignore); err != nil || p.state != ended {
		t.Errorf("after the last chunk: state %d, error %v", p.state, err)
	}
	if err := new(parser).feed([]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n"), ignore); err == nil {
		t.Error("no error for a 503")
	}
	if err := new(parser).feed([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"), ignore); err == nil {
		t.Error("no error for a chunk size that is none")
	}
}

func TestClientCountsWhatIsMissing(t *testing.T) {
	sum := new(tally)
	c := &client{tally: sum, keepID: true}
	c.state = inBody
	var body []byte
	at := now()
	for _, seq := range []uint32{0, 1, 4, 3, 5} {
		body = append(body, "data: "...)
		body = appendPayload(body, event{publisher: 2, seq: seq, size: payloadSize}, at)
		body = append(body, fmt.Sprintf("\nid: p%d\n\n", seq)...)
	}
	body = append(body, "event: sse:gap\ndata: {}\n\nevent: sse:rejected\ndata: {}\n\n"...)
	if err := c.take(body); err != nil {
		t.Fatal(err)
	}
	if sum.delivered != 4 || sum.missing != 2 || sum.disorder != 1 || sum.gaps != 1 || sum.rejected != 1 || c.lastID != "p5" {
		t.Errorf("delivered %d, missing %d, disorder %d, gaps %d, rejected %d, last id %q",
			sum.delivered, sum.missing, sum.disorder, sum.gaps, sum.rejected, c.lastID)
	}
	if n := lost([]*client{c}, 6); n != 2 {
		t.Errorf("lost %d of 6, want 2", n)
	}
	if sum.delays.total != 4 || sum.delays.quantile(1) > time.Minute {
		t.Errorf("%d delays of up to %v", sum.delays.total, sum.delays.quantile(1))
	}
}

func TestPayload(t *testing.T) {
	data := appendPayload(nil, event{publisher: 3, seq: 12_345, size: payloadSize}, 9_876_543_210)
	publisher, seq, at, ok := parsePayload(data)
	if len(data) != payloadSize || !ok || publisher != 3 || seq != 12_345 || at != 9_876_543_210 {
		t.Errorf("%q: %d bytes, publisher %d, seq %d, at %d, %v", data, len(data), publisher, seq, at, ok)
	}
	for _, other := range []string{"", `{"connection":"0123456789012345678901"}`, "@a0000000", "@z000000010000000000000001", "@a0000000x0000000000000001"} {
		if _, _, _, ok := parsePayload([]byte(other)); ok {
			t.Errorf("%q passes for one of ours", other)
		}
	}
}

func TestHistogramIsExactEnough(t *testing.T) {
	var h histogram
	for v := range 100_000 {
		h.add(int64(v) * 1000)
	}
	for _, q := range []float64{0.001, 0.5, 0.99, 1} {
		got, want := h.quantile(q).Microseconds(), int64(q*100_000)
		if off := got - want; off < -1 || off > want/50+1 {
			t.Errorf("quantile %v: %d µs, want %d", q, got, want)
		}
	}
	for v := uint64(0); v < 1<<20; v += 97 {
		if top := highest(bucket(v)); top < v || bucket(top) != bucket(v) || bucket(top+1) == bucket(v) {
			t.Fatalf("%d is in bucket %d, which ends with %d", v, bucket(v), top)
		}
	}
}
