package harness_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// All engines can be driven in the same way.
func TestBrowser(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><title>%s</title>", r.URL.Path)
	}))
	t.Cleanup(server.Close)
	for _, engine := range harness.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			browser := harness.NewBrowser(t, engine)
			page := browser.Open(t, server.URL+"/one")
			if got := harness.Eval[[]int](page, `new Promise((resolve) => setTimeout(() => resolve([1, 2]), 1))`); !slices.Equal(got, []int{1, 2}) {
				t.Errorf("a promise came to %v", got)
			}
			if got := harness.Eval[*int](page, `undefined`); got != nil {
				t.Errorf("undefined is %v", *got)
			}
			if got := harness.Eval[string](page, `document.visibilityState`); got != "visible" {
				t.Errorf("the page is %s", got)
			}
			harness.Eval[bool](page, `(console.log('said', 1), true)`)
			harness.EventuallyEqual(t, "the console has the line", true, func() bool {
				harness.Eval[bool](page, `true`)
				return slices.Contains(page.Console(), "said 1")
			})

			page.Goto(server.URL + "/two")
			page.Go(-1)
			page.Wait(`document.title === '/one'`)
			page.Go(1)
			page.Wait(`document.title === '/two'`)
			harness.Eval[bool](page, `window.kept = true`)
			page.Reload()
			if harness.Eval[bool](page, `'kept' in window`) {
				t.Error("the page was not loaded again")
			}

			harness.Eval[string](page, `localStorage.here = 'yes'`)
			same := browser.Open(t, server.URL)
			if got := harness.Eval[string](same, `localStorage.here`); got != "yes" {
				t.Errorf("another page of the browser has %q", got)
			}
			own := harness.StartBrowser(t, engine)
			paused := own.Open(t, server.URL+"/paused")
			if got := harness.Eval[*string](paused, `localStorage.here`); got != nil {
				t.Errorf("another browser has %q", *got)
			}
			harness.Eval[bool](same, `(new BroadcastChannel('x').onmessage = ({ data }) => localStorage.said = data, true)`)
			harness.Eval[bool](page, `(new BroadcastChannel('x').postMessage('hello'), true)`)
			page.Wait(`localStorage.said === 'hello'`)
			same.Close()
			page.Wait(`document.title === '/two'`)
			own.Pause(true)
			own.Pause(false)
			paused.Wait(`document.title === '/paused'`)
		})
	}
}
