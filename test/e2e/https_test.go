package e2e_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// The README's site with the listener wrapper: streams over HTTP/2 leave no goroutine behind, and other requests go to the app.
func TestReadmeHTTPS(t *testing.T) {
	t.Parallel()
	s := readme(t, "caddyfile", "listener_wrappers")
	site, app := "localhost:"+harness.Port(t), harness.StartPHP(t, 2, testdata(t, "php"))
	secret := strings.Repeat("s", 32)
	caddy := harness.StartCaddy(t, harness.Replace(t, s.String(), s.text, "example.com", site, "localhost:9000", app,
		"servers {", "skip_install_trust\n\tauto_https disable_redirects\n\tservers {"), "SSE_PUSH_TICKET_SECRET="+secret)

	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate is of a root of Caddy's own
	}}
	defer client.CloseIdleConnections()
	brokertest.Eventually(t, "Caddy has made a certificate", func() bool {
		response, err := client.Get("https://" + site + "/any/page")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	})
	ask := func(path string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", path, response.Proto, response.Status)
		}
		return response
	}

	url := func(user string) string {
		claims := fmt.Appendf(nil, `{"user":%q,"exp":%d}`, user, time.Now().Add(time.Hour).Unix())
		ticket := "sse1." + base64.RawURLEncoding.EncodeToString(claims)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(ticket))
		return "/events?ticket=" + ticket + "." + hex.EncodeToString(mac.Sum(nil))
	}
	before := caddy.Goroutines(t)
	const streams = 40
	for i := range streams {
		user := fmt.Sprint("ann-", i)
		lines := bufio.NewScanner(ask(url(user)).Body)
		for lines.Scan() && !strings.Contains(lines.Text(), user) {
		}
		if lines.Err() != nil || lines.Text() == "" {
			t.Fatalf("no first event: %v", lines.Err())
		}
	}
	ask("/any/page")
	brokertest.Eventually(t, "the streams have no goroutine", func() bool { return caddy.Goroutines(t) < before+streams/2 })
}
