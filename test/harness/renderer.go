package harness

import (
	"strconv"
	"syscall"
	"testing"
)

// Renderer is the process that runs a page. Other pages of its browser may be run by it as well.
type Renderer int

// Renderer returns the process that runs a page: the one of the browser's that is busy when the page is.
func (b *Browser) Renderer(t testing.TB, p *Page) Renderer {
	t.Helper()
	for range 10 {
		before := map[int]int{}
		for _, pid := range b.running() {
			before[pid] = ticks(pid)
		}
		Eval[int](p, `(() => { let n = 0; for (let i = 0; i < 3e8; i++) n = (n + i) | 0; return n; })()`)
		first, most, second := 0, 0, 0
		for pid, old := range before {
			switch used := ticks(pid) - old; {
			case used > most:
				first, most, second = pid, used, most
			case used > second:
				second = used
			}
		}
		if most > 10 && most > 2*second {
			return Renderer(first)
		}
	}
	t.Fatal("no process of the browser is busy when the page is")
	return 0
}

// Signal sends it a signal: SIGSTOP has its pages hang.
func (r Renderer) Signal(s syscall.Signal) { _ = syscall.Kill(int(r), s) }

// ticks returns how long a process was busy, in hundredths of a second (proc_pid_stat(5): utime).
func ticks(pid int) int {
	stat := procStat(pid)
	if len(stat) < 12 {
		return 0
	}
	n, _ := strconv.Atoi(string(stat[11]))
	return n
}
