package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

// tokensExample runs the example with answers of a model.
func tokensExample(t *testing.T, answer modelapi.Answer) (url string, fpm *harness.FPM, api *modelapi.Server) {
	t.Helper()
	api, fpm = modelapi.Start(t, answer), harness.StartFPM(t, 2)
	url = examples(t, "tokens/Caddyfile", "PHP_FPM="+fpm.Address, "PHP_FPM_STATUS="+fpm.StatusAddress(), "MODEL_API="+api.URL, "CHAT_DIR="+harness.Dir(t))
	return url, fpm, api
}

// JavaScript for the newest turn: its answer, its status, and whether PHP has the same status of it.
const (
	answerShown = `document.querySelector('.turn .answer').textContent`
	statusShown = `document.querySelector('.turn').dataset.status`
	isStored    = `fetch('').then((page) => page.text()).then((html) =>
		new DOMParser().parseFromString(html, 'text/html').querySelector('.turn').dataset.status === ` + statusShown + `)`
)

// askModel asks a question, and waits for the page that follows.
func askModel(tab *harness.Tab, question string) {
	tab.Fill(`[name=question]`, question)
	tab.Click(`.ask button`)
	tab.Wait(fmt.Sprintf(`document.querySelector('.turn .question').textContent === %q`, question))
}

// hears waits until a tab shows more of the answer than n bytes, and returns what it shows. It has to begin at the first token.
func hears(t *testing.T, tab *harness.Tab, n int) string {
	t.Helper()
	var text string
	brokertest.Eventually(t, "the tab shows more of the answer", func() bool {
		text = harness.Eval[string](tab, answerShown)
		return len(text) > n
	})
	if whole := modelapi.Text(len(text)); !strings.HasPrefix(whole, text) {
		t.Errorf("the tab shows %q, which is not how the answer begins", text)
	}
	return text
}

// An answer streams while PHP's two workers are idle. It is there after each reload and in a second tab, from its first token; that tab
// stops it for both, and for the model; and PHP has what they show.
func TestTokens(t *testing.T) {
	t.Parallel()
	url, fpm, api := tokensExample(t, modelapi.Answer{Tokens: 100_000, Rate: 20})
	profile := harness.NewProfile(t)
	first := profile.OpenTab(t, url+"/")
	askModel(first, "Who <b>are</b> you?")
	text := hears(t, first, len(modelapi.Text(5)))
	harness.EventuallyEqual(t, "php-fpm's load while an answer streams", harness.Load{Total: 2}, func() harness.Load { return fpm.Load(t) })
	for range 2 {
		first.Goto(url + "/")
		text = hears(t, first, len(text))
	}
	second := profile.OpenTab(t, url+"/")
	text = hears(t, second, len(text))
	hears(t, first, len(text))
	stranger := harness.OpenTab(t, url+"/")
	if harness.Eval[bool](stranger, `!!document.querySelector('.turn')`) {
		t.Error("another browser sees the answer")
	}
	first.Screenshot("tokens-streaming")

	harness.Eval[bool](second, `document.body.dataset.stopping = true`)
	second.Click(`.turn button`)
	second.Wait(`!document.body.dataset.stopping`) // the page that follows
	for _, tab := range []*harness.Tab{first, second} {
		tab.Wait(statusShown + ` === 'cancelled'`)
	}
	text = harness.Eval[string](first, answerShown)
	second.Wait(answerShown + `.length === ` + harness.Eval[string](first, `String(`+answerShown+`.length)`))
	if got := harness.Eval[string](second, answerShown); got != text {
		t.Errorf("one tab shows %q, the other %q", text, got)
	}

	// The model has seen one request, and has not gone on for more than five seconds.
	harness.EventuallyEqual(t, "answers under way", 0, func() int { return api.Counts().Open })
	shown := countTokens(t, text)
	if c := api.Counts(); c.Requests != 1 || c.Left != 1 || c.Tokens < shown || c.Tokens > shown+100 {
		t.Errorf("the tabs show %d tokens, and the model counts %+v", shown, c)
	}

	brokertest.Eventually(t, "PHP has the answer", func() bool { return harness.Eval[bool](first, isStored) })
	first.Goto(url + "/")
	if got := harness.Eval[string](first, answerShown); got != text {
		t.Errorf("PHP has stored %q, and the tabs showed %q", got, text)
	}
	looks(t, first, "tokens")
}

// countTokens returns how many tokens an answer of the stand-in has.
func countTokens(t *testing.T, text string) (n int) {
	t.Helper()
	for n = 0; len(text) > 0; n++ {
		rest, ok := strings.CutPrefix(text, modelapi.Token(n))
		if !ok {
			t.Fatalf("after %d tokens comes %q", n, text)
		}
		text = rest
	}
	return n
}

// A whole answer is stored, and is part of the next question; nobody but the proxy can store one.
func TestTokensStored(t *testing.T) {
	t.Parallel()
	url, _, api := tokensExample(t, modelapi.Answer{Tokens: 30})
	tab := harness.OpenTab(t, url+"/")
	askModel(tab, "First?")
	tab.Wait(statusShown + ` === 'complete'`)
	if got := harness.Eval[string](tab, answerShown); got != modelapi.Text(30) {
		t.Errorf("the tab shows %q", got)
	}
	brokertest.Eventually(t, "PHP has the answer", func() bool { return harness.Eval[bool](tab, isStored) })
	askModel(tab, "Second?")
	tab.Wait(statusShown + ` === 'complete' && document.querySelectorAll('.turn').length === 2`)
	if r := api.Requests(); len(r) != 2 || !strings.Contains(r[1].Body, `"First?"`) || !strings.Contains(r[1].Body, "größe3") || !strings.Contains(r[1].Body, `"Second?"`) {
		t.Errorf("the model was asked %+v", r)
	}

	for path, want := range map[string]int{"/done.php": http.StatusForbidden, "/whoami.php": http.StatusUnauthorized, "/chat.php": http.StatusOK} {
		got, body, _ := harness.Fetch(t, url+path)
		if got != want || path == "/chat.php" && !strings.Contains(body, "<title>") { // below public/ there is no such file: it is the page
			t.Errorf("GET %s: %d %.100q, want %d", path, got, body, want)
		}
	}
	if got := harness.Status(t, url+"/events?relay=chat-1"); got != http.StatusUnauthorized {
		t.Errorf("a stream without a session: %d", got)
	}
}

func TestHowToModelTokens(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/model-tokens.md")
	w.serve()
	brokertest.Eventually(t, "the model listens", func() bool { return !harness.PortIsFree(w.ports.Replace("9001")) })
	site := w.url("http://localhost:8080/")
	const begin, end = `You ask: Who are you? Let me think.`, `I do not know.`
	const text = `document.querySelector('p').textContent`
	profile := harness.NewProfile(t)
	tab := profile.OpenTab(t, site)
	tab.Fill("input", "Who are you?")
	tab.Click("button")
	tab.Wait(text + `.startsWith('You ask') && !` + text + `.endsWith('` + end + `')`) // token by token
	tab.Reload()
	tab.Wait(text + `.startsWith('` + begin + `')`)
	for _, tab := range []*harness.Tab{tab, profile.OpenTab(t, site)} {
		tab.Wait(text + `.startsWith('` + begin + `') && ` + text + `.endsWith('` + end + `')`)
	}
	if harness.Eval[string](harness.NewProfile(t).OpenTab(t, site), text) != "" {
		t.Error("another browser has the answer")
	}
	brokertest.Eventually(t, "PHP has the answer", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "answers.txt"))
		return err == nil
	})
	if out := w.run(); !strings.HasPrefix(out, "complete: "+begin) || !strings.HasSuffix(out, end+"\n") {
		t.Errorf("PHP has %q", out)
	}
	if status := harness.Status(t, site+"done.php"); status != http.StatusForbidden {
		t.Errorf("done.php without a signature: status %d, want 403", status)
	}
}

func TestFPMConfigOfTokens(t *testing.T) {
	t.Parallel()
	if out, err := harness.CheckFPM(t, "examples/php/tokens/php-fpm.conf"); err != nil {
		t.Errorf("php-fpm --test: %v\n%s", err, out)
	}
}
