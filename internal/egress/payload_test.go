package egress

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
	"weak"
)

// A request's body arrives whole, and is not kept while its answer goes on, which may take an hour.
func TestBodyIsLetGo(t *testing.T) {
	const size = 1 << 20
	for _, http2 := range []bool{false, true} {
		got := make(chan []byte, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- body
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		g := mustGate(t, nil, Origin{URL: server.URL, Private: true})
		g.origins[server.URL].transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		body := bytes.Repeat([]byte("x"), size)
		kept := weak.Make(&body[0])
		answer, err := g.Send(t.Context(), &Request{Method: http.MethodPost, URL: mustParse(t, server.URL), Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if b := <-got; len(b) != size || answer.ProtoMajor == 2 != http2 {
			t.Errorf("got %d bytes over %s", len(b), answer.Proto)
		}
		body = nil
		for until := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			if runtime.GC(); kept.Value() == nil {
				break
			}
			if time.Now().After(until) {
				t.Errorf("%s: the body is still in memory", answer.Proto)
				break
			}
		}
		runtime.KeepAlive(answer)
		answer.Body.Close()
	}
}
