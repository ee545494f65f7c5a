package doctor

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

func TestJudgeProbes(t *testing.T) {
	const gone = -1
	begin := time.Now()
	for name, c := range map[string]struct {
		sent, came []int // ms
		beats      []int
		want       verdict
		held       bool
	}{
		"at once":           {[]int{0, 200, 400, 600, 800}, []int{1, 202, 401, 605, 801}, nil, verdict{slowest: 5, alone: []time.Duration{1, 2, 1, 5, 1}}, false},
		"uneven":            {[]int{0, 350, 600, 900, 1100}, []int{340, 500, 850, 955, 1400}, nil, verdict{slowest: 340, alone: []time.Duration{340, 150, 250, 55, 300}}, false},
		"late, one by one":  {[]int{0, 1001, 2301, 3001, 4601}, []int{1500, 2501, 3801, 4501, 6101}, nil, verdict{slowest: 1500, alone: []time.Duration{1500, 1500, 1500, 1500, 1500}}, false},
		"one event late":    {[]int{0, 1001, 2301, 3001, 4601}, []int{1003, 2303, 3003, 4603, gone}, nil, verdict{missing: 1, pushed: 4, slowest: 1602}, true},
		"in twos":           {[]int{0, 1001, 1201, 2201, 2401}, []int{1003, 1003, 2203, 2203, gone}, nil, verdict{missing: 1, pushed: 2, slowest: 1003, alone: []time.Duration{2, 2}}, true},
		"with heartbeats":   {[]int{0, 700, 1001, 1700, 2001}, []int{700, 1000, 1700, 2000, 2700}, []int{700, 1000, 1700, 2001, 2709}, verdict{pushed: 5, slowest: 700}, true},
		"before heartbeats": {[]int{0, 200, 400, 600, 800}, []int{1, 202, 401, 605, 801}, []int{1, 203, 806}, verdict{slowest: 5, alone: []time.Duration{1, 2, 1, 5, 1}}, false},
		"a stall":           {[]int{0, 1001, 1201, 1401, 1601}, []int{1300, 1300, 1301, 1402, 1602}, nil, verdict{pushed: 2, slowest: 1300, alone: []time.Duration{100, 1, 1}}, true},
		"lost, all but one": {[]int{0, 1000, 2000, 3000, 4000}, []int{gone, gone, gone, gone, 4001}, nil, verdict{missing: 4, slowest: 1, alone: []time.Duration{1}}, true},
		"nothing comes":     {[]int{0, 1000, 2000, 3000, 4000}, []int{gone, gone, gone, gone, gone}, nil, verdict{missing: 5}, true},
		"one lost":          {[]int{0, 200, 400, 600, 800}, []int{1, gone, 401, 601, 801}, nil, verdict{missing: 1, slowest: 1, alone: []time.Duration{1, 1, 1, 1}}, false},
	} {
		at := func(ms int) time.Time {
			if ms == gone {
				return time.Time{}
			}
			return begin.Add(time.Duration(ms) * time.Millisecond)
		}
		var samples []sample
		for i := range c.came {
			samples = append(samples, sample{sent: at(c.sent[i]), stored: at(c.sent[i]), came: at(c.came[i])})
		}
		var beats []time.Time
		for _, ms := range c.beats {
			beats = append(beats, at(ms))
		}
		c.want.slowest *= time.Millisecond
		for i := range c.want.alone {
			c.want.alone[i] *= time.Millisecond
		}
		got := judgeProbes(samples, beats)
		if got.missing != c.want.missing || got.pushed != c.want.pushed || got.slowest != c.want.slowest || !slices.Equal(got.alone, c.want.alone) || got.held() != c.held {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		for i := range samples {
			samples[i].void = true
		}
		if got := judgeProbes(samples, beats); got.held() || got.void != len(samples) {
			t.Errorf("%s, on a busy machine: %+v", name, got)
		}
	}
}

func TestJudgeIdle(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	greeting := arrival{at: ago(time.Minute)}
	header := map[string][]string{"Content-Type": {"text/event-stream"}}
	for name, c := range map[string]struct {
		r    record
		want []string
	}{
		"heartbeats":    {record{heartbeats: []time.Time{ago(30 * time.Second), ago(15 * time.Second)}}, nil},
		"none":          {record{}, []string{"no-heartbeat"}},
		"cut":           {record{ended: ago(time.Second)}, []string{"idle-cut"}},
		"cut by errors": {record{ended: ago(time.Second), err: errors.New("stream error: INTERNAL_ERROR")}, []string{"idle-cut"}},
		"cut, not idle": {record{heartbeats: []time.Time{ago(15 * time.Second)}, ended: ago(time.Second)}, []string{"cut"}},
		"clumps":        {record{heartbeats: []time.Time{ago(9002 * time.Millisecond), ago(9001 * time.Millisecond), ago(9 * time.Second)}}, []string{"buffered"}},
	} {
		r := c.r
		r.status, r.headers, r.header = 200, ago(time.Minute), header
		r.asked, r.first, r.last, r.messages = ago(time.Minute), greeting.at, greeting.at, []arrival{greeting}
		e := &examination{Options: Options{Idle: 40 * time.Second}, idleFrom: ago(40 * time.Second)}
		e.judgeIdle(&stream{kind: kind{name: "h1"}}, &r)
		var codes []string
		for _, f := range e.findings {
			codes = append(codes, f.Code)
		}
		if !slices.Equal(codes, c.want) {
			t.Errorf("%s: %q, want %q", name, codes, c.want)
		}
	}
}

func TestCrossSite(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://www.example.com", "https://push.example.com/events", false},
		{"https://example.com", "https://example.org/", true},
		{"https://a.example.co.uk", "https://b.other.co.uk", true},
		{"http://example.com", "https://example.com", true},
		{"http://127.0.0.1:1", "http://127.0.0.1:2/events", false},
	} {
		if got := crossSite(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %v", c.a, c.b, got)
		}
	}
}

func sampleReport() *Report {
	ms := int64(12)
	r := &Report{
		URL:       "https://example.com/" + strings.Repeat("long", 30),
		Streams:   []Stream{{Name: "h1", Headers: &ms, First: &ms}, {Name: "hub h1 gzip", Status: 200, Protocol: "HTTP/1.1", Headers: &ms}},
		Unchecked: []string{"whether a page on another host may listen: give its --origin"},
	}
	for code := range knowledge {
		f := newFinding(code, "h1", "nothing came\x1b[2J for ₿₿₿ "+strings.Repeat("ä", 400))
		f.Mend = mends(code, nil)
		r.Findings = append(r.Findings, f)
	}
	return r
}

func TestText(t *testing.T) {
	for _, width := range []int{1, 20, 40, 80, 200} {
		var b strings.Builder
		if err := sampleReport().WriteText(&b, width, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > max(width, minWidth) {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
				t.Errorf("what must not be on a terminal: %q", line)
			}
		}
		for _, want := range []string{"not checked", "fault", "mend"} {
			if !strings.Contains(strings.ToLower(b.String()), want) {
				t.Errorf("width %d: no %q", width, want)
			}
		}
	}
	var b strings.Builder
	if err := (&Report{Healthy: true}).WriteText(&b, 40, true); err != nil || !strings.HasSuffix(b.String(), "\x1b[1;32mHealthy\x1b[0m\n") {
		t.Errorf("%v, %q", err, b.String())
	}
}

// Every code says what a user notices and what mends it, and is in the docs.
func TestKnowledge(t *testing.T) {
	docs, err := os.ReadFile("../../docs/reference/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, k := range knowledge {
		if k.felt == "" || len(mends(code, nil)) == 0 || !slices.Contains([]Severity{Fault, Warning, Note}, k.severity) {
			t.Errorf("%s: %+v", code, k)
		}
		if !strings.Contains(string(docs), "| `"+code+"` | "+string(k.severity)+" |") {
			t.Errorf("docs/reference/doctor.md has no %s, a %s", code, k.severity)
		}
		for _, m := range mends(code, nil) {
			if m.In == "" || m.Line == "" {
				t.Errorf("%s: %+v", code, m)
			}
		}
	}
	for _, f := range front.Known {
		for _, code := range f.Codes() {
			if _, ok := knowledge[code]; !ok {
				t.Errorf("%s mends %s, which there is not", f.Name, code)
			}
		}
		for _, code := range []string{"buffered", "idle-cut", "cut"} {
			if len(f.Mends(code)) == 0 {
				t.Errorf("%s: nothing for %s", f.Name, code)
			}
		}
		if !strings.Contains(strings.Join(strings.Fields(string(docs)), " "), f.Name) {
			t.Errorf("docs/reference/doctor.md does not name %s", f.Name)
		}
	}
	for _, code := range comparableCodes {
		if _, ok := knowledge[code]; !ok {
			t.Errorf("there is no code %s", code)
		}
	}
}

// A mend for a front that was seen comes first, those of the hub and the page next.
func TestMends(t *testing.T) {
	lines := mends("idle-cut", []string{"HAProxy", "unknown", "Varnish"})
	var places []string
	for _, l := range lines {
		places = append(places, l.In)
	}
	if places = front.Distinct(places); !slices.Equal(places[:4], []string{"HAProxy", "Varnish", "sse_push", "nginx"}) {
		t.Errorf("%q", places)
	}
	want := front.Line{In: "HAProxy", Line: "timeout server 1h (defaults)", Block: "defaults", Paste: "timeout server 1h", Remove: "timeout server"}
	if lines[0] != want {
		t.Errorf("%+v, want %+v", lines[0], want)
	}
	f := Finding{Code: "idle-cut", Mend: lines}
	if shown := f.shown([]string{"HAProxy"}); len(shown) != 2 || shown[0].In != "HAProxy" || shown[1].In != "sse_push" {
		t.Errorf("%+v", shown)
	}
	if shown := f.shown([]string{"unknown"}); len(shown) != len(lines) {
		t.Errorf("%d lines are shown of %d", len(shown), len(lines))
	}
}

// What waits for the bytes that follow takes as long as these let it wait.
func TestPairing(t *testing.T) {
	ms := func(all ...time.Duration) (d []time.Duration) {
		for _, n := range all {
			d = append(d, n*time.Millisecond)
		}
		return d
	}
	for name, c := range map[string]struct {
		p    pairing
		want bool
	}{
		"pushed by heartbeats": {pairing{ms(900, 400, 830, 620, 900, 810), ms(63, 62, 70, 61, 65, 90)}, true},
		"prompt":               {pairing{ms(3, 2, 2, 4, 2, 2), ms(2, 2, 3, 2, 2, 2)}, false},
		"jitter":               {pairing{ms(350, 290, 100, 320, 284, 270), ms(114, 60, 110, 90, 100, 70)}, false},
		"steady":               {pairing{ms(800, 801, 800, 803, 802, 802), ms(800, 799, 799, 798, 799, 799)}, false},
		"one did not come":     {pairing{ms(900, 400, 830, 620, 900), ms(63, 62, 70, 61, 65, 90)}, false},
		"none":                 {},
	} {
		if got := c.p.pushed(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// One round says nothing, and neither do rounds that contradict each other.
func TestVerdicts(t *testing.T) {
	prompt, late := slices.Repeat([]time.Duration{time.Millisecond}, 5), slices.Repeat([]time.Duration{210 * time.Millisecond}, 5)
	clear, slow, held, busy := verdict{alone: prompt}, verdict{alone: late}, verdict{missing: 4}, verdict{void: 4, alone: prompt[:1]}
	for name, c := range map[string]struct {
		all           verdicts
		certain, held bool
		delayed       bool
	}{
		"prompt":              {verdicts{clear}, true, false, false},
		"late once":           {verdicts{slow}, false, false, false},
		"late":                {verdicts{slow, slow}, true, false, true},
		"held once":           {verdicts{held}, false, false, false},
		"held":                {verdicts{held, held}, true, true, false},
		"held, then not":      {verdicts{held, clear}, false, false, false},
		"contradictory":       {verdicts{held, clear, held}, true, false, false},
		"busy":                {verdicts{busy}, false, false, false},
		"held on a busy one":  {verdicts{busy, held, busy, held}, true, true, false},
		"clear on a busy one": {verdicts{busy, clear, clear}, true, false, false},
	} {
		if got := c.all.certain(); got != c.certain {
			t.Errorf("%s: certain %v", name, got)
		}
		if got := c.all.held(); got != c.held {
			t.Errorf("%s: held %v", name, got)
		}
		if got := delayed(c.all.alone(), 2*time.Millisecond); got != c.delayed {
			t.Errorf("%s: delayed %v", name, got)
		}
	}
}
