package sitetest_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// openTerminal returns both ends of a terminal of some columns.
func openTerminal(t *testing.T, columns uint16) (us, them *os.File) {
	t.Helper()
	us, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { us.Close() })
	if err := unix.IoctlSetPointerInt(int(us.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(us.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(us.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	them, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { them.Close() })
	return us, them
}

// On a terminal too narrow for a table, each row is a block; nothing is cut off, and nothing steers the terminal.
func TestCommandOnATerminal(t *testing.T) {
	s, o := operated(t, sitetest.Route(""))
	c := s.Open("/events?userId=%E2%80%AEu1&topic=room")
	for columns, table := range map[uint16]bool{40: false, 250: true} {
		us, them := openTerminal(t, columns)
		cmd := exec.Command(filepath.Join(o.folder, "caddy"), "sse-push", "connections")
		cmd.Stdout = them
		if got := o.start(cmd, nil).wait(); got.code != 0 || got.err != "" {
			t.Fatalf("got %+v", got)
		}
		them.Close()
		out, _ := io.ReadAll(us) // ends in an error, as the other end is closed
		text := string(out)
		if strings.Contains(text, "CONNECTION: "+c.Connected.Connection) == table || strings.Contains(text, "CONNECTION  ") != table {
			t.Errorf("%d columns: got %q", columns, text)
		}
		if !strings.Contains(text, `\u202eu1`) || strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, c.Connected.Connection) {
			t.Errorf("%d columns: got %q", columns, text)
		}
	}
}
