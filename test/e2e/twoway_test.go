package e2e_test

import (
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestHowToTwoWays(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/two-ways.md")
	w.serve()
	site := w.url("http://localhost:8080/")
	profile := harness.NewProfile(t)
	tab, other := profile.OpenTab(t, site), profile.OpenTab(t, site) // of one session
	for _, page := range []*harness.Tab{tab, other} {
		page.Wait(`!document.querySelector('button').disabled`)
	}
	tab.Fill("input", "hello")
	tab.Click("button")
	tab.Wait(items + ` === 'HELLO'`)
	other.Fill("input", "is there anybody?")
	other.Click("button")
	other.Wait(items + ` === 'IS THERE ANYBODY?'`) // and nothing that was for the first
	tab.Reload()
	tab.Wait(`!document.querySelector('button').disabled`)
	tab.Fill("input", "still here")
	tab.Click("button")
	tab.Wait(items + ` === 'STILL HERE'`)
	tab.Screenshot("howto-two-ways")
	if status := harness.Status(t, site+"answer.php"); status != http.StatusForbidden {
		t.Errorf("answer.php without a connection: status %d, want 403", status)
	}
}
