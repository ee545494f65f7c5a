package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is what RESULTS.md holds.
type report struct {
	strings.Builder
}

func newReport(b *bench) *report {
	r := new(report)
	r.add(b.heading())
	return r
}

func (r *report) add(text string) { r.WriteString(text) }

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
		{"descriptors", number(int(b.descriptors))},
	}
	if b.before != nil {
		lines = append(lines, [2]string{"before", b.before.name + "; (×…) is a figure of sse_push as a multiple of it"})
	}
	if b.repeat > 1 {
		lines = append(lines, [2]string{"figures", fmt.Sprintf("medians of %d, servers taking turns", b.repeat)})
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
