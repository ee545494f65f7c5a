package harness

import "testing"

// StartBrowser starts a browser, which runs until the test ends.
func StartBrowser(t testing.TB, engine Engine) *Browser {
	t.Helper()
	switch engine {
	case Firefox:
		return startFirefox(t)
	case WebKit:
		return startWebKit(t)
	default:
		return startChromium(t)
	}
}

// NewBrowser is StartBrowser for tests that neither pause nor kill the browser. It is cheaper: processes that take long to start are
// shared with other tests.
func NewBrowser(t testing.TB, engine Engine) *Browser {
	t.Helper()
	switch engine {
	case Firefox:
		return firefoxProfile(t)
	case WebKit:
		return startWebKit(t)
	default:
		return &Browser{Engine: Chromium, driver: NewProfile(t)}
	}
}
