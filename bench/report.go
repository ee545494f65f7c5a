package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is what RESULTS.md holds: a heading, then tables.
type report struct {
	heading string
	tables  []string
}

// tableMark begins a table.
const tableMark = "\n## "

func (r *report) String() string { return r.heading + strings.Join(r.tables, "") }

// parseReport reads what String wrote.
func parseReport(text string) report {
	parts := strings.Split(text, tableMark)
	r := report{heading: parts[0]}
	for _, part := range parts[1:] {
		r.tables = append(r.tables, tableMark+part)
	}
	return r
}

// merge puts other's tables in the places of those with the same titles, each with a line that says how it came about. Others go to the end.
func (r *report) merge(other report, line string) {
	for _, table := range other.tables {
		title, rest, _ := strings.Cut(strings.TrimPrefix(table, "\n"), "\n")
		table = "\n" + title + "\n\n" + line + "\n" + rest
		same := func(t string) bool { return strings.HasPrefix(t, "\n"+title+"\n") }
		if i := slices.IndexFunc(r.tables, same); i >= 0 {
			r.tables[i] = table
		} else {
			r.tables = append(r.tables, table)
		}
	}
}

// write writes RESULTS.md. A run of some scenarios leaves the other tables as they are.
func (r *report) write(b *bench, some bool) error {
	const file = "RESULTS.md"
	if some {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all := parseReport(string(text))
		all.merge(*r, fmt.Sprintf("Measured by itself on %s%s.", time.Now().UTC().Format(time.DateOnly), b.medians(", ")))
		r = &all
	}
	return os.WriteFile(file, []byte(r.String()), 0o644)
}

// medians returns what the figures are, after a separator, or nothing if each was measured once.
func (b *bench) medians(separator string) string {
	if b.repeat == 1 {
		return ""
	}
	return fmt.Sprintf("%smedians of %d, servers taking turns", separator, b.repeat)
}

// heading says where and when the figures are from.
func (b *bench) heading() string {
	var name unix.Utsname
	kernel := ""
	if unix.Uname(&name) == nil {
		kernel = unix.ByteSliceToString(name.Release[:])
	}
	var out strings.Builder
	out.WriteString("# Benchmark\n\nMade by `make bench`. Server and load generator run on the same machine, over loopback; each row is a server started afresh.\n\n")
	lines := [][2]string{
		{"date", time.Now().UTC().Format(time.DateOnly)},
		{"processor", fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())},
		{"kernel", kernel},
		{"Go", runtime.Version()},
		{"nchan", nchanVersion()},
		{"Mercure's hub", mercureHubVersion + ", without history"},
		{"Centrifugo", centrifugoVersion + ", without history"},
		{"descriptors", number(int(b.descriptors))},
	}
	if b.before != nil {
		lines = append(lines, [2]string{"before", b.before.name + "; (×…) is a figure of sse_push as a multiple of it"})
	}
	if figures := b.medians(""); figures != "" {
		lines = append(lines, [2]string{"figures", figures})
	}
	for _, line := range lines {
		fmt.Fprintf(&out, "- %s: %s\n", line[0], line[1])
	}
	out.WriteString("\nClients of HTTP/2 and HTTP/3 have the windows of Chrome (6 MiB a stream, 15 MiB a connection, granted again at half), but for\n" +
		"those of h2-Go, which have the windows of Go (granted again at 4 KiB). \"sse_push, wrapper\" has `servers { listener_wrappers { sse_push } }` in its Caddyfile.\n")
	if b.quick {
		out.WriteString("\n**A quick run: its figures mean nothing.**\n")
	}
	return out.String()
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func nchanVersion() string {
	versions, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan").Output()
	if err != nil {
		return "not installed"
	}
	return strings.TrimSpace(string(versions))
}
