package e2e_test

import (
	"regexp"
	"slices"
	"testing"
)

// docs/howto/backup.md, as printed: a copy of a running Caddy's log is put back, and a client hears what is in it.
func TestHowToBackup(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/backup.md")
	caddy := w.serve()
	w.run() // publishes, copies, publishes
	w.run() // stops Caddy
	caddy.Wait(t)
	w.run() // restores
	w.serve()
	said := regexp.MustCompile(`(?m)^(?:event: sse:gap|data: in .*|data: after .*)$`).FindAllString(w.run(), -1)
	if want := []string{"data: in the backup", "event: sse:gap", "data: after the restore"}; !slices.Equal(said, want) {
		t.Errorf("the client hears %q, want %q", said, want)
	}
}
