package wild_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// row is a front with a configuration, and what the doctor should say.
type row struct {
	front, name string
	lines       harness.Lines // in place of the usual ones
	page        []string      // places where it has what docs/reference/fronts.md says
	cleartext   bool          // though it has TLS
	heartbeat   string        // of the hub; quick if empty
	idle        string        // how long streams are left idle; 2500ms if empty
	code        string        // of the fault; healthy if empty
	also        []string      // what is right to say as well
	mended      bool          // the doctor's own mend is pasted, and heals it
	short       bool          // in the short form
}

// Behind each front as its package comes, as docs/reference/fronts.md sets it up and as it is set up wrongly, the doctor names the fault and no
// other, and what it says to paste heals it.
func TestFronts(t *testing.T) {
	hubs := startHubs(t, quick, silent, still, oldHub)
	snippets := page(t)
	used := map[snippet]bool{}
	for _, r := range rows {
		for _, place := range r.page {
			used[snippet{r.front, place}] = true
		}
		if !r.short && !all() {
			continue
		}
		t.Run(r.front+"/"+r.name, func(t *testing.T) {
			t.Parallel()
			lines := r.on(t, snippets)
			found, text := r.ask(t, hubs, lines)
			r.expect(t, found, text)
			i := slices.IndexFunc(found.Findings, func(f finding) bool { return f.Code == r.code })
			if i < 0 || !r.mended {
				return
			}
			healed, text := r.ask(t, hubs, r.mend(t, lines, found.Findings[i].Mend))
			r.expectHealed(t, healed, text)
		})
	}
	for at := range snippets {
		if !used[at] {
			t.Errorf("no row has the snippet %v of docs/reference/fronts.md", at)
		}
	}
	for _, front := range harness.Fronts() {
		for _, fault := range []bool{false, true} {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.front == front && r.short && (r.code != "") == fault }) {
				t.Errorf("the short form has no row of %s with a fault: %v", front, fault)
			}
		}
	}
}

// on returns the lines of the row, those of docs/reference/fronts.md among them.
func (r row) on(t *testing.T, snippets map[snippet]string) harness.Lines {
	t.Helper()
	lines := harness.Lines{}
	maps.Copy(lines, r.lines)
	for _, place := range r.page {
		text := snippets[snippet{r.front, place}]
		if text == "" {
			t.Fatalf("docs/reference/fronts.md has no snippet of %s: %s", r.front, place)
		}
		lines[place] = text
	}
	return lines
}

// expect compares a report with what it should find, and no other fault. Notes do no harm.
func (r row) expect(t *testing.T, found report, text string) {
	t.Helper()
	var codes, others []string
	for _, f := range found.Findings {
		codes = append(codes, f.Code)
		if f.Code != r.code && f.Severity != "note" && !slices.Contains(r.also, f.Code) {
			others = append(others, f.Code)
		}
		if f.Code == r.code && f.Where == "at the hub itself" {
			t.Errorf("%s is said to be the hub's", f.Code)
		}
	}
	if len(others) > 0 || r.code != "" && !slices.Contains(codes, r.code) {
		t.Errorf("found %q, want %q:\n%s", codes, r.code, text)
	}
}

// expectHealed expects a report without the fault of the row.
func (r row) expectHealed(t *testing.T, healed report, text string) {
	t.Helper()
	row{also: r.also}.expect(t, healed, text)
	if slices.ContainsFunc(healed.Findings, func(f finding) bool { return f.Code == r.code }) {
		t.Errorf("%s is still found after its mend:\n%s", r.code, text)
	}
}

// ask starts the front with these lines, and asks the doctor about it.
func (r row) ask(t *testing.T, hubs map[string]hub, lines harness.Lines) (report, string) {
	t.Helper()
	heartbeat, idle := cmp.Or(r.heartbeat, quick), cmp.Or(r.idle, "2500ms")
	front := harness.StartFront(t, r.front, hubs[heartbeat].address, lines)
	url := front.HTTPS
	if url == "" || r.cleartext {
		url = front.HTTP
	}
	user := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(r.front+r.name))
	return examine(t, url+"/events?userId="+user, "--origin-url", "http://"+hubs[heartbeat].address,
		"--publish", hubs[heartbeat].route.URL, "--token", token, "--idle", idle, "--insecure")
}

// mend returns the lines with the doctor's mends pasted.
func (r row) mend(t *testing.T, lines harness.Lines, mends []mend) harness.Lines {
	t.Helper()
	name, _, _ := strings.Cut(r.front, " twice")
	mended := maps.Clone(lines)
	pasted := false
	for _, m := range mends {
		if m.In != name || m.At == "" {
			continue
		}
		text, ok := mended[m.At]
		if !ok {
			text = harness.UsualLines(t, r.front, m.At)
		}
		mended[m.At] = m.paste(text)
		pasted = true
	}
	if !pasted {
		t.Fatalf("the doctor has nothing to paste into %s: %+v", name, mends)
	}
	return mended
}

// paste takes what Remove says out of lines, and adds Paste.
func (m mend) paste(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m.Remove == "" || !strings.HasPrefix(strings.TrimSpace(line), m.Remove) {
			kept = append(kept, line)
		}
	}
	return strings.Join(append(kept, m.Paste), "\n")
}

// A network that delays each chunk by another time is no fault.
func TestJitterIsNoFault(t *testing.T) {
	hubs := startHubs(t, quick)
	h := hubs[quick]
	relay := harness.StartJitter(t, h.address, 50*time.Millisecond, 350*time.Millisecond)
	runs := 1
	if all() {
		runs = 10
	}
	for i := range runs {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			found, text := examine(t, fmt.Sprintf("http://%s/events?userId=jitter%d", relay, i), "--origin-url", "http://"+h.address,
				"--publish", h.route.URL, "--token", token, "--idle", "2500ms")
			if !found.Healthy {
				t.Errorf("not healthy:\n%s", text)
			}
		})
	}
}
