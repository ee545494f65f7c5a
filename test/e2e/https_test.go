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

// The reference's site with the listener wrapper: streams over HTTP/2 leave no goroutine behind and get what is published, and other
// requests go to the app.
func TestReferenceHTTPS(t *testing.T) {
	t.Parallel()
	s := the(t, "docs/reference/directive.md", "caddyfile", "listener_wrappers")
	site, app := "localhost:"+harness.Port(t), harness.StartPHP(t, 2, testdata(t, "php"))
	secret, token := strings.Repeat("s", 32), strings.Repeat("t", 32)
	caddy := harness.StartCaddy(t, harness.Replace(t, s.String(), s.text, "example.com", site, "localhost:9000", app,
		"servers {", "skip_install_trust\n\tauto_https disable_redirects\n\tservers {"), "SSE_PUSH_TICKET_SECRET="+secret, "SSE_PUSH_TOKEN="+token)

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
	ask := func(method, path, body string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "https://"+site+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
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
	var streams []*bufio.Scanner
	await := func(stream *bufio.Scanner, text string) {
		t.Helper()
		for stream.Scan() && !strings.Contains(stream.Text(), text) {
		}
		if stream.Err() != nil || stream.Text() == "" {
			t.Fatalf("no %s: %v", text, stream.Err())
		}
	}
	for i := range 40 {
		user := fmt.Sprint("ann-", i)
		streams = append(streams, bufio.NewScanner(ask("GET", url(user), "").Body))
		await(streams[i], user)
	}
	ask("GET", "/any/page", "")
	brokertest.Eventually(t, "the streams have no goroutine", func() bool { return caddy.Goroutines(t) < before+len(streams)/2 })
	ask("POST", "/_sse/publish", "broadcast=true&data=hello")
	for _, stream := range streams {
		await(stream, "hello")
	}
}
